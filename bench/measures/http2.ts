// HTTP/2 clients and servers (P4): a small document, and unary gRPC calls, as fast as they go.
import type { Http2Kind } from "../load.ts";
import { saturationHttp2 } from "../measure.ts";
import { costRow, type Row } from "../report.ts";
import { interleaveCells, type Measure, warmUp, withChains } from "../run.ts";
import { nghttpx } from "../systems/nghttpx.ts";

const WHAT: Readonly<Record<Http2Kind, string>> = { get: "HTTP/2 clients", grpc: "gRPC unary" };

export const http2: Measure = {
  ids: ["P4"],
  measure: (run) =>
    withChains(run, run.systems, "http2", async (chains) => {
      const { lab, plan } = run;
      await warmUp(run, chains, "http2", 1);
      const rows: Row[] = [];
      for (const kind of ["get", "grpc"] as const) {
        const cells = await interleaveCells(run, WHAT[kind], chains, plan.repeats, (chain) =>
          saturationHttp2(lab, chain, kind, plan.otherSeconds),
        );
        const about = { id: "P4", what: WHAT[kind], unit: "CPU µs/request/proxy" };
        rows.push(costRow({ ...about, bar: [{ peer: nghttpx.name, max: 1.7 }], goal: [{ peer: nghttpx.name, max: 1 }] }, cells));
      }
      return rows;
    }),
};
