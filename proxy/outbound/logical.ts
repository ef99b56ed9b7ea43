// A logical service: routes, traffic split, and the concrete names below it, live (spec proxy §4.5, §4.11).
import { authorityOf, formatNameAddr } from "#addr";
import type { RequestHead } from "#http";
import { MAX_REPLAY_BYTES } from "#retry";
import type { NameAddr, Profile } from "../contracts.ts";
import type { Dispatcher, Exchange } from "../http/exchange.ts";
import { RouteRun, type RouteTarget } from "../http/route-run.ts";
import type { StackScope } from "../telemetry.ts";
import type { ConnectError, Connection } from "../transport/index.ts";
import { ConcreteHttp, ConcreteTcp } from "./concrete.ts";
import type { OutboundContext } from "./context.ts";
import { Routes } from "./routes.ts";
import { pickWeighted } from "./split.ts";

type Branch<T> = { readonly path: string; readonly weight: number; readonly concrete: T };

/** The branches of a split; existing ones are kept over updates. */
class Split<T extends { close(): void }> {
  readonly #make: (path: string) => T;
  branches: readonly Branch<T>[] = [];

  constructor(make: (path: string) => T) {
    this.#make = make;
  }

  update(logical: NameAddr, targets: Profile["targets"]): void {
    const wanted = new Map<string, number>();
    for (const { addr, weight } of targets) {
      const path = formatNameAddr(addr);
      wanted.set(path, (wanted.get(path) ?? 0) + weight);
    }
    if (wanted.size === 0) wanted.set(formatNameAddr(logical), 1);
    const before = new Map(this.branches.map((branch) => [branch.path, branch.concrete]));
    this.branches = [...wanted].map(([path, weight]) => ({ path, weight, concrete: before.get(path) ?? this.#make(path) }));
    for (const [path, concrete] of before) if (!wanted.has(path)) concrete.close();
  }

  close(): void {
    for (const { concrete } of this.branches) concrete.close();
    this.branches = [];
  }
}

/** What a request remembers of its route, in `DerivedRequest.memo`. */
class RouteMemo {
  readonly routes: Routes;
  readonly target: RouteTarget | null;
  /** `content-length` beyond what can be replayed. */
  readonly large: boolean;

  constructor(routes: Routes, target: RouteTarget | null, large: boolean) {
    this.routes = routes;
    this.target = target;
    this.large = large;
  }
}

export class Logical implements Dispatcher {
  readonly name: NameAddr;
  /** Value of `l5d-dst-canonical` and of the `dst` label. */
  readonly canonical: string;
  readonly authority: string;
  readonly #context: OutboundContext;
  readonly #http: Split<ConcreteHttp>;
  readonly #tcp: Split<ConcreteTcp>;
  #profile: Profile;
  #routes: Routes;
  /** Null: no HTTP, or no TCP, has come so far. */
  #httpStack: StackScope | null = null;
  #tcpStack: StackScope | null = null;

  constructor(context: OutboundContext, name: NameAddr, profile: Profile) {
    this.#context = context;
    this.name = name;
    this.canonical = formatNameAddr(name);
    this.authority = authorityOf(name);
    this.#http = new Split((path) => new ConcreteHttp(context, path, this.authority));
    this.#tcp = new Split((path) => new ConcreteTcp(context, path, this.authority));
    this.#profile = profile;
    this.#routes = this.#makeRoutes();
  }

  /** A new message of the profile: routes, budget and split are replaced, connections stay. */
  update(profile: Profile): void {
    this.#profile = profile;
    this.#routes.close();
    this.#routes = this.#makeRoutes();
    if (this.#httpStack !== null) this.#http.update(this.name, profile.targets);
    if (this.#tcpStack !== null) this.#tcp.update(this.name, profile.targets);
  }

  /** A request enters: its route is chosen once, then it is dispatched (and dispatched again by retries). */
  serve(exchange: Exchange): void {
    exchange.dispatcher = this;
    const { request } = exchange;
    let memo = request.memo;
    if (!(memo instanceof RouteMemo) || memo.routes !== this.#routes) {
      memo = new RouteMemo(this.#routes, this.#routes.match(request.head), isLarge(request.head));
      request.memo = memo;
    }
    const { target, large } = memo as RouteMemo;
    if (target !== null) {
      exchange.route = new RouteRun(this.#context.runtime, target, exchange, !large && !request.upgrade);
    }
    this.dispatch(exchange);
  }

  dispatch(exchange: Exchange): void {
    if (this.#httpStack === null) {
      this.#httpStack = this.#context.telemetry.stack("http", "logical");
      this.#http.update(this.name, this.#profile.targets);
    }
    pickWeighted(this.#http.branches, this.#context.runtime.random)?.concrete.dispatch(exchange);
  }

  hasOther(endpoint: object): boolean {
    for (const { concrete } of this.#http.branches) if (concrete.balancer.hasOther(endpoint)) return true;
    return false;
  }

  connect(onConnect: (connection: Connection) => void, onError: (error: ConnectError, failFast: boolean) => void): () => void {
    if (this.#tcpStack === null) {
      this.#tcpStack = this.#context.telemetry.stack("tcp", "logical");
      this.#tcp.update(this.name, this.#profile.targets);
    }
    const branch = pickWeighted(this.#tcp.branches, this.#context.runtime.random) as Branch<ConcreteTcp>;
    return branch.concrete.connect(onConnect, onError);
  }

  close(): void {
    this.#http.close();
    this.#tcp.close();
    this.#routes.close();
    this.#httpStack?.drop();
    this.#tcpStack?.drop();
  }

  #makeRoutes(): Routes {
    const { telemetry, runtime } = this.#context;
    return new Routes({ profile: this.#profile, dst: this.canonical, telemetry, now: () => runtime.clock.now() });
  }
}

function isLarge(head: RequestHead): boolean {
  const length = head.get("content-length");
  return length !== undefined && Number(length) > MAX_REPLAY_BYTES;
}
