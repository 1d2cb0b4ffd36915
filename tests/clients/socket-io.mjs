// Joins a chat with the reference client, says something, and prints what it hears as lines of JSON until the answer is whole:
// node socket-io.mjs URL PATH CHAT_ID CONTENT, with TOKEN in the environment.
import { io } from "socket.io-client";

const [url, path, chat_id, content] = process.argv.slice(2);
const print = (event, data) => process.stdout.write(JSON.stringify({ event, data }) + "\n");
const socket = io(url, { path, auth: { token: process.env.TOKEN }, transports: ["websocket", "polling"], reconnection: false });

socket.on("connect", async () => {
  print("joined", await socket.emitWithAck("join_chat", { chat_id }));
  if (content) {
    socket.emit("message", { chat_id, message: { role: "user", content } });
  }
});
socket.on("connect_error", (failure) => {
  print("connect_error", { message: failure.message, data: failure.data });
  socket.close();
});
for (const event of ["user_join", "user_leave"]) {
  socket.on(event, (data) => print(event, data));
}
socket.on("error", (failure) => {
  print("error", failure);
  process.exitCode = 1;
  socket.close();
});
socket.on("message", (data) => {
  print("message", data);
  if (data.message.done) {
    socket.close();
  }
});
