// The head of a message: control data and field lines, immutable, shared by every request that repeats its bytes.

/**
 * Field lines as a flat list: name, value, name, value … in the order received. Names are lower-case tokens, values are
 * latin1 text (one char per byte, so obs-text survives) without surrounding white space. Pseudo-fields are not in it.
 */
export type Fields = readonly string[];

export type HttpVersion = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

/** Form of the request target, RFC 9112 §3.2. HTTP/2 requests are `origin`, `asterisk` or (CONNECT) `authority`. */
export type TargetForm = "origin" | "absolute" | "authority" | "asterisk";

export type RequestInit = {
  readonly version: HttpVersion;
  readonly method: string;
  readonly form: TargetForm;
  /** `:scheme`, or the scheme of an absolute-form target; null in other HTTP/1 requests. */
  readonly scheme: string | null;
  /** `:authority`, or the authority of an absolute- or authority-form target; null else (HTTP/1: see `host`). */
  readonly authority: string | null;
  /** Path with query; `*` in asterisk-form; empty in authority-form. */
  readonly path: string;
  readonly fields: Fields;
};

export type ResponseInit = {
  readonly version: HttpVersion;
  /** 100 to 599. */
  readonly status: number;
  /** As received; HTTP/2 has none and an HTTP/1 writer then takes the standard one. */
  readonly reason: string | null;
  readonly fields: Fields;
};

/**
 * What stages of the proxy remember of a head. A head that repeats (same bytes, see the engines' caches) is the same
 * object, so that what one stage worked out for it is worked out once. Each slot belongs to one kind of stage, which
 * writes there a fresh object and checks on reading that the object is its own.
 */
export abstract class Head {
  abstract readonly fields: Fields;
  /** Slot of the writers: the encoded form for one connection's compression state, or HTTP/1 bytes. */
  encoded: unknown = null;
  /** Slot of the server side of the proxy: the rewritten head, its route, its labels. */
  derived: unknown = null;
  /** Slot of the client side of the proxy. */
  sent: unknown = null;

  /** The first value of a field, undefined when absent. `name` in lower case. */
  get(name: string): string | undefined {
    const fields = this.fields;
    for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** All values of a field, in order. */
  all(name: string): string[] {
    const values: string[] = [];
    for (let i = 0; i < this.fields.length; i += 2) if (this.fields[i] === name) values.push(this.fields[i + 1] as string);
    return values;
  }
}

export class RequestHead extends Head {
  readonly version: HttpVersion;
  readonly method: string;
  readonly form: TargetForm;
  readonly scheme: string | null;
  readonly authority: string | null;
  readonly path: string;
  readonly fields: Fields;

  constructor(init: RequestInit) {
    super();
    this.version = init.version;
    this.method = init.method;
    this.form = init.form;
    this.scheme = init.scheme;
    this.authority = init.authority;
    this.path = init.path;
    this.fields = init.fields;
  }

  /** A copy with other values. */
  with(changes: Partial<RequestInit>): RequestHead {
    return new RequestHead({ ...(this as RequestInit), ...changes });
  }
}

export class ResponseHead extends Head {
  readonly version: HttpVersion;
  readonly status: number;
  readonly reason: string | null;
  readonly fields: Fields;

  constructor(init: ResponseInit) {
    super();
    this.version = init.version;
    this.status = init.status;
    this.reason = init.reason;
    this.fields = init.fields;
  }

  with(changes: Partial<ResponseInit>): ResponseHead {
    return new ResponseHead({ ...(this as ResponseInit), ...changes });
  }
}
