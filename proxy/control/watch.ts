// A stream that is asked for again when it ends: the shape of every watch of the control plane (spec proxy §4.2, §4.6, §8.1).
import { Code, type Method, type Plain, type Status, stream } from "#grpc";
import { type Backoff, backoffMs } from "#stack";
import type { Unsubscribe } from "../contracts.ts";
import type { ServiceClient } from "./service.ts";

export type WatchOptions<Request, Response> = {
  readonly service: ServiceClient;
  readonly method: Method<Request, Response>;
  readonly request: Partial<Plain<Request>>;
  readonly backoff: Backoff;
  readonly random: () => number;
  /** `first`: of this stream. Throwing is as if the stream had ended. */
  readonly onMessage: (message: Plain<Response>, first: boolean) => void;
  /** InvalidArgument or FailedPrecondition: it will not be asked for again. */
  readonly onRefused: (status: Status) => void;
  /** Any other end. */
  readonly onEnd?: (status: Status) => void;
};

/**
 * connecting → streaming → (ended: after a back-off) connecting …; a refusal ends it. After unsubscribing nothing is told.
 */
export function watch<Request, Response>(options: WatchOptions<Request, Response>): Unsubscribe {
  const { service, method, request, backoff, random } = options;
  let cancel: () => void = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  let over = false;
  let failures = 0;

  const open = (): void => {
    let first = true;
    cancel = service.acquire((channel) => {
      cancel = stream(channel, method, request, {
        message(message) {
          failures = 0;
          const wasFirst = first;
          first = false;
          options.onMessage(message, wasFirst);
        },
        end(status) {
          if (over) return;
          if (status.code === Code.INVALID_ARGUMENT || status.code === Code.FAILED_PRECONDITION) {
            over = true;
            options.onRefused(status);
            return;
          }
          options.onEnd?.(status);
          failures++;
          timer = setTimeout(open, backoffMs(backoff, failures, random));
        },
      });
    });
  };
  open();
  return () => {
    over = true;
    clearTimeout(timer);
    cancel();
  };
}
