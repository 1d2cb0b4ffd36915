Redoc.init("/openapi.json", { hideDownloadButton: false, requiredPropsFirst: true, expandResponses: "200,201" }, document.getElementById("redoc"));
