// probe: does this container's own program accept connections? For readiness: an exec probe asks over loopback, past the mesh,
// where a probe of the kubelet would ask the proxy. Argument: the port. Exit status 0 or 1.
import { connect } from "node:net";

const TIMEOUT_MS = 900;

export function main([port = ""]: string[]): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: Number(port), timeout: TIMEOUT_MS });
    const end = (status: number) => {
      socket.destroy();
      resolve(status);
    };
    socket.once("connect", () => end(0));
    socket.once("timeout", () => end(1));
    socket.once("error", () => end(1));
  });
}
