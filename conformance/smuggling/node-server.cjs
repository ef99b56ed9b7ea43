// llhttp's reading of a connection: node:http answers every request that it takes for complete with its target.
const { createServer } = require("node:http");

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => response.end(request.url));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
