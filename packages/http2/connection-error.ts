// A connection error, RFC 9113 §5.4.1: thrown while bytes of the peer are read, it becomes GOAWAY and the connection's end.

export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  /** RFC 9113 §7. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
