// Joins a chat with the reference client and comes back after every break, asking for what it has not heard yet:
// node resuming.mjs URL CHAT_ID TRANSPORT…, with TOKEN in the environment. Prints what it hears as lines of JSON until an answer is whole.
import { io } from "socket.io-client";

const [url, chat_id, ...transports] = process.argv.slice(2);
const print = (event, data) => process.stdout.write(JSON.stringify({ event, data }) + "\n");
const socket = io(url, { auth: { token: process.env.TOKEN }, transports, reconnectionDelay: 50, reconnectionDelayMax: 100 });

const after = {};
let last_message_id;

socket.on("connect", async () => print("joined", await socket.emitWithAck("join_chat", { chat_id, after, last_message_id })));
socket.on("disconnect", (reason) => print("disconnect", reason));
socket.on("message", (data) => {
  if (data.generation_id) {
    after[data.generation_id] = data.event_id;
  } else {
    last_message_id = data.message.id;
  }
  print("message", data);
  if (data.message.done) {
    socket.close();
  }
});
