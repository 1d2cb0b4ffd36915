"""The system calls that code in the sandbox may make, and what becomes of the others: one table.

Each row is a name and its number on x86_64 and on aarch64 (a dash: not there). A call that is in no row is refused with EPERM, and one
that is newer than this table does not exist (ENOSYS).
"""

from enum import Enum

NEWEST = 462  # a number above is of a kernel that was not known when this table was made


class Action(Enum):
    """What becomes of a call."""

    ALLOW = "allow"
    PRIVATE = "private"  # changes names or modes of files: where no file is the host's
    CHECK = "check"  # allowed for some arguments: seccomp.py says which
    OUTWARD = "outward"  # the same, in a call that may reach hosts; refused in all others
    MISSING = "missing"  # ENOSYS: what asks for it has another way
    KILL = "kill"  # ends the whole process: only an attack asks for it


TABLE = {
    Action.ALLOW: """
        read 0 63
        write 1 64
        readv 19 65
        writev 20 66
        pread64 17 67
        pwrite64 18 68
        preadv 295 69
        pwritev 296 70
        preadv2 327 286
        pwritev2 328 287
        open 2 -
        openat 257 56
        close 3 57
        close_range 436 436
        lseek 8 62
        stat 4 -
        lstat 6 -
        fstat 5 80
        newfstatat 262 79
        statx 332 291
        access 21 -
        faccessat 269 48
        faccessat2 439 439
        readlink 89 -
        readlinkat 267 78
        getdents64 217 61
        statfs 137 43
        fstatfs 138 44
        getcwd 79 17
        chdir 80 49
        fchdir 81 50
        umask 95 166
        dup 32 23
        dup2 33 -
        dup3 292 24
        flock 73 32
        fsync 74 82
        fdatasync 75 83
        fadvise64 221 223
        fallocate 285 47
        ftruncate 77 46
        sendfile 40 71
        copy_file_range 326 285
        pipe 22 -
        pipe2 293 59
        poll 7 -
        ppoll 271 73
        select 23 -
        pselect6 270 72
        epoll_create 213 -
        epoll_create1 291 20
        epoll_ctl 233 21
        epoll_wait 232 -
        epoll_pwait 281 22
        epoll_pwait2 441 441
        eventfd2 290 19
        recvfrom 45 207
        recvmsg 47 212
        sendmsg 46 211
        shutdown 48 210
        getsockname 51 204
        getpeername 52 205
        getsockopt 55 209
        mmap 9 222
        munmap 11 215
        mremap 25 216
        mprotect 10 226
        madvise 28 233
        mincore 27 232
        msync 26 227
        brk 12 214
        membarrier 324 283
        futex 202 98
        set_robust_list 273 99
        set_tid_address 218 96
        gettid 186 178
        sched_yield 24 124
        sched_getaffinity 204 123
        sched_getparam 143 121
        sched_getscheduler 145 120
        sched_get_priority_max 146 125
        sched_get_priority_min 147 126
        getcpu 309 168
        exit 60 93
        exit_group 231 94
        rt_sigaction 13 134
        rt_sigprocmask 14 135
        rt_sigreturn 15 139
        rt_sigpending 127 136
        rt_sigtimedwait 128 137
        rt_sigsuspend 130 133
        sigaltstack 131 132
        restart_syscall 219 128
        pause 34 -
        alarm 37 -
        setitimer 38 103
        getitimer 36 102
        nanosleep 35 101
        clock_nanosleep 230 115
        clock_gettime 228 113
        clock_getres 229 114
        gettimeofday 96 169
        time 201 -
        times 100 153
        getpid 39 172
        getppid 110 173
        getuid 102 174
        geteuid 107 175
        getgid 104 176
        getegid 108 177
        getresuid 118 148
        getresgid 120 150
        getgroups 115 158
        getpgrp 111 -
        getpgid 121 155
        getsid 124 156
        getpriority 140 141
        capget 125 90
        uname 63 160
        sysinfo 99 179
        getrusage 98 165
        getrlimit 97 163
        getrandom 318 278
        wait4 61 260
        waitid 247 95
        rseq 334 293
    """,
    Action.PRIVATE: """
        mkdir 83 -
        mkdirat 258 34
        rmdir 84 -
        unlink 87 -
        unlinkat 263 35
        rename 82 -
        renameat 264 38
        renameat2 316 276
        link 86 -
        linkat 265 37
        symlink 88 -
        symlinkat 266 36
        chmod 90 -
        fchmod 91 52
        fchmodat 268 53
        utime 132 -
        utimes 235 -
        utimensat 280 88
        truncate 76 45
        creat 85 -
        getxattr 191 8
        lgetxattr 192 9
        fgetxattr 193 10
        listxattr 194 11
        llistxattr 195 12
        flistxattr 196 13
    """,
    Action.CHECK: """
        clone 56 220
        socketpair 53 199
        sendto 44 206
        fcntl 72 25
        ioctl 16 29
        prctl 157 167
        prlimit64 302 261
        kill 62 129
        tgkill 234 131
    """,
    Action.OUTWARD: """
        socket 41 198
        connect 42 203
        setsockopt 54 208
    """,
    Action.MISSING: """
        clone3 435 435
        memfd_create 319 279
        fchmodat2 452 452
    """,
    Action.KILL: """
        ptrace 101 117
        process_vm_readv 310 270
        process_vm_writev 311 271
        pidfd_getfd 438 438
        kcmp 312 272
        bpf 321 280
        perf_event_open 298 241
        keyctl 250 219
        add_key 248 217
        request_key 249 218
        userfaultfd 323 282
        io_uring_setup 425 425
        io_uring_enter 426 426
        io_uring_register 427 427
        unshare 272 97
        setns 308 268
        mount 165 40
        umount2 166 39
        pivot_root 155 41
        chroot 161 51
        open_tree 428 428
        move_mount 429 429
        fsopen 430 430
        fsconfig 431 431
        fsmount 432 432
        fspick 433 433
        mount_setattr 442 442
        kexec_load 246 104
        kexec_file_load 320 294
        init_module 175 105
        finit_module 313 273
        delete_module 176 106
        open_by_handle_at 304 -
        name_to_handle_at 303 -
        swapon 167 224
        swapoff 168 225
        reboot 169 142
        iopl 172 -
        ioperm 173 -
        modify_ldt 154 -
        acct 163 89
        memfd_secret 447 447
        fanotify_init 300 262
        settimeofday 164 170
        clock_settime 227 112
        adjtimex 159 171
        clock_adjtime 305 266
        sethostname 170 161
        setdomainname 171 162
        vhangup 153 58
    """,
}

MACHINES = ("x86_64", "aarch64")


def numbers(machine: str) -> dict[str, tuple[int, Action]]:
    """Each call's number on a machine and what becomes of it."""
    column = 1 + MACHINES.index(machine)
    rows = [(line.split(), action) for action, lines in TABLE.items() for line in lines.strip().splitlines()]
    return {row[0]: (int(row[column]), action) for row, action in rows if row[column] != "-"}
