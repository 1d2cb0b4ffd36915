// Runs one operation with the reference client and prints each answer as a line: node graphql-ws.mjs URL, with {token, operation} on standard input.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { token, operation } = JSON.parse(input);

const client = createClient({
  url: process.argv[2],
  webSocketImpl: WebSocket,
  retryAttempts: 0,
  connectionParams: token ? { Authorization: `Bearer ${token}` } : {},
});
const print = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

client.subscribe(operation, {
  next: print,
  error: (failure) => {
    print(Array.isArray(failure) ? { errors: failure } : { closed: failure.code ?? String(failure) });
    client.dispose();
  },
  complete: () => client.dispose(),
});
