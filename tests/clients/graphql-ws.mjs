// Runs one operation with the reference client and prints each answer as a line of JSON: node graphql-ws.mjs URL BODY, with TOKEN in the environment.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, body] = process.argv.slice(2);
const token = process.env.TOKEN;
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  retryAttempts: 0,
  connectionParams: token ? { Authorization: `Bearer ${token}` } : {},
});
const print = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

client.subscribe(JSON.parse(body), {
  next: print,
  error: (failure) => {
    print(Array.isArray(failure) ? { errors: failure } : { closed: failure.code ?? String(failure) });
    client.dispose();
  },
  complete: () => client.dispose(),
});
