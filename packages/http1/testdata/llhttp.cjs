// Runs connections through Node's own HTTP/1 parser, llhttp: a JSON list of base64 texts on standard input, a list of
// {error, messages} on standard output. For plain Node; Bun has another parser.
const { HTTPParser, methods } = process.binding("http_parser");

function parse(bytes) {
  const messages = [];
  let message = null;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, 1024 * 1024, 0);
  const begin = () => {
    message ??= { method: "", path: "", fields: [], body: "", ended: false };
  };
  parser[HTTPParser.kOnHeaders] = (headers, url) => {
    begin();
    message.fields.push(...headers);
    // With trailers the target comes once more.
    if (message.method === "") message.path += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = (_major, _minor, headers, method, url) => {
    begin();
    if (headers) message.fields.push(...headers);
    if (url) message.path += url;
    message.method = methods[method];
    messages.push(message);
    return 0;
  };
  parser[HTTPParser.kOnBody] = (chunk) => {
    message.body += Buffer.from(chunk).toString("latin1");
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    message.ended = true;
    message = null;
  };
  const result = parser.execute(bytes);
  const error = result instanceof Error ? String(result.code ?? result.message) : "";
  const finished = error === "" ? parser.finish() : undefined;
  return { error: error || (finished instanceof Error ? String(finished.code) : ""), messages };
}

let input = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  input += chunk;
});
process.stdin.on("end", () => {
  process.stdout.write(JSON.stringify(JSON.parse(input).map((text) => parse(Buffer.from(text, "base64")))));
});
