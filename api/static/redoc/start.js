Redoc.init("/openapi.json", { hideDownloadButton: false, requiredPropsFirst: true }, document.getElementById("redoc"));
