// Says one line on a TCP connection and tells what it hears, a line of JSON for each event: {"heard": text} or {"closed": true}. It does
// not end the connection itself, and ends when the connection or its standard input does. Arguments: host, port, line.
import { connect } from "node:net";

const [host = "", port = "", line = ""] = process.argv.slice(2);
const tell = (event: { heard: string } | { closed: true }) => console.log(JSON.stringify(event));

const socket = connect({ host, port: Number(port) }, () => void socket.write(`${line}\n`));
socket.on("data", (data) => tell({ heard: data.toString() }));
// The close follows.
socket.on("error", () => {});
socket.on("close", () => {
  tell({ closed: true });
  process.exit(0);
});
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
