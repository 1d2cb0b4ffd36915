// The GraphQL-over-HTTP audit of its reference implementation: node audit.mjs URL prints what did not pass, as lines of JSON, and how many audits there were.
import { serverAudits } from "graphql-http";

const audits = serverAudits({ url: process.argv[2], fetchFn: fetch });
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== "ok") console.log(JSON.stringify({ name: audit.name, status: result.status, reason: result.reason }));
}
console.log(audits.length);
