// Asks for an answer as a stream with OpenAI's own client: node openai.mjs URL, with TOKEN in the environment. Prints the pieces as they come.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: process.env.TOKEN, maxRetries: 0 });
const stream = await client.chat.completions.create({ model: "echo", messages: [{ role: "user", content: "hi" }], stream: true });
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
}
