// What an engine asks of its connection, noted.
import type { EngineHost } from "#http";

export class Host implements EngineHost {
  paused = false;
  finished = false;
  aborted = false;
  scheduleFlush(): void {}
  pauseReading(): void {
    this.paused = true;
  }
  resumeReading(): void {
    this.paused = false;
  }
  finish(): void {
    this.finished = true;
  }
  abort(): void {
    this.aborted = true;
  }

  get open(): boolean {
    return !this.finished && !this.aborted;
  }
}
