// Starts GraphiQL. What is in its Headers editor goes with each request, and into a websocket's connectionParams.
(async () => {
  const url = location.origin + location.pathname;
  const steps = await fetch("/static/graphiql/first-steps.graphql");
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher: GraphiQL.createFetcher({ url, subscriptionUrl: url.replace(/^http/, "ws") }),
      defaultQuery: await steps.text(),
      defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
      defaultEditorToolsVisibility: "headers",
      isHeadersEditorEnabled: true,
      shouldPersistHeaders: false,
    }),
  );
})();
