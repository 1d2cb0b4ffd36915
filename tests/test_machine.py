from tests.machine import describe_settings

CPUINFO = """
processor\t: 0
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse2 fma avx2 avx512f avx512_vnni amx_bf16 amx_tile vaes
bugs\t\t: spectre_v1

processor\t: 1
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu
"""


def test_the_header_names_the_processor_what_it_can_do_and_what_libraries_are_told() -> None:
    assert describe_settings(CPUINFO, 2, {"MKL_CBWR": "AVX2,STRICT", "ATEN_CPU_CAPABILITY": "avx2", "HOME": "/"}) == [
        "processor: Intel(R) Xeon(R) Processor (family 6, model 143), 2 cores, fma avx2 avx512f avx512_vnni amx_bf16 amx_tile",
        "settings: ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2,STRICT",
    ]


def test_where_nothing_is_known_the_header_says_so() -> None:
    processor, settings = describe_settings("", 1, {})
    assert processor.endswith(", 1 cores, no flags")
    assert settings == "settings: none"
