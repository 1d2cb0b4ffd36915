// Starts GraphiQL. What is in its Headers editor goes with each request, and into a websocket's connectionParams.

// GraphiQL shows a subscription's last event only: the text that came before is shown beside it.
function joined(events) {
  const source = events[Symbol.asyncIterator]();
  let text = "";
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const step = await source.next();
      text += step.value?.data?.generation?.text ?? "";
      return step.done || !text ? step : { ...step, value: { ...step.value, answerSoFar: text } };
    },
    return(value) {
      return source.return(value);
    },
  };
}

(async () => {
  const url = location.origin + location.pathname;
  const ask = GraphiQL.createFetcher({ url, subscriptionUrl: url.replace(/^http/, "ws") });
  const steps = await fetch("/static/graphiql/first-steps.graphql");
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher: async (...asked) => {
        const answer = await ask(...asked);
        return answer?.[Symbol.asyncIterator] ? joined(answer) : answer;
      },
      defaultQuery: await steps.text(),
      defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
      defaultEditorToolsVisibility: "headers",
      isHeadersEditorEnabled: true,
      shouldPersistHeaders: false,
    }),
  );
})();
