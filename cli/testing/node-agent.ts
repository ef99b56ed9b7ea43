// A node for tests: port-forwards as the node agent carries them, from pods' ports to servers of the test on this machine.
import { connect } from "node:net";
import { ChannelForwardSession, type Dial, portForwardProtocols } from "../../cluster/node/server/port-forward.ts";
import { Link, type SocketData } from "../../cluster/node/server/session.ts";

export type TestNode = {
  /** For the API server: `unix:/path`. */
  readonly address: string;
  /** `NAMESPACE/POD:PORT` to a port of 127.0.0.1. */
  readonly ports: Map<string, number>;
  close(): Promise<void>;
};

export function startTestNode(path: string): TestNode {
  const ports = new Map<string, number>();
  const server = Bun.serve<SocketData>({
    unix: path,
    fetch(request, self) {
      const { pathname, searchParams } = new URL(request.url);
      const [, verb, namespace, pod] = pathname.split("/");
      if (verb !== "portForward") return new Response("no such path", { status: 404 });
      if (![...ports.keys()].some((key) => key.startsWith(`${namespace}/${pod}:`)))
        return new Response(`pod "${pod}_${namespace}" not found`, { status: 404 });
      const dial: Dial = (port, handlers) => dialLocal(ports.get(`${namespace}/${pod}:${port}`), port, handlers);
      const wanted = searchParams.getAll("ports").map(Number);
      const protocol = portForwardProtocols[1];
      const isUpgraded = self.upgrade(request, {
        headers: { "sec-websocket-protocol": protocol },
        data: { session: new ChannelForwardSession({ dial, ports: wanted }) },
      });
      return isUpgraded ? undefined : new Response("no handshake", { status: 400 });
    },
    websocket: {
      open(socket) {
        const link = new Link(socket);
        socket.data.link = link;
        socket.data.session.open(link);
      },
      message: (socket, message) => socket.data.session.message(Buffer.from(message as Buffer)),
      drain: (socket) => socket.data.link?.drained(),
      close(socket) {
        socket.data.link?.closed();
        socket.data.session.close();
      },
    },
  });
  return { address: `unix:${path}`, ports, close: () => server.stop(true) };
}

function dialLocal(to: number | undefined, port: number, handlers: Parameters<Dial>[1]): ReturnType<Dial> {
  return new Promise((resolve, reject) => {
    if (to === undefined) return reject(new Error(`failed to connect to localhost:${port} inside namespace: connection refused`));
    const socket = connect(to, "127.0.0.1");
    socket.on("data", (bytes) => handlers.data(bytes));
    socket.on("end", () => handlers.end());
    socket.on("close", () => handlers.close());
    socket.on("drain", () => handlers.drain());
    socket.on("error", reject);
    socket.on("connect", () =>
      resolve({ write: (bytes) => socket.write(bytes), end: () => void socket.end(), destroy: () => void socket.destroy() }),
    );
  });
}
