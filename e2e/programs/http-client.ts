// Asks a URL again and again over kept connections, and tells each change of the answer's status as a line of JSON: {"status", "at"}, `at`
// in milliseconds since 1970; status 0 is no answer. Ends when its standard input does. Argument: URL.
const PAUSE_MS = 10;

const [url = ""] = process.argv.slice(2);
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();

let last: number | undefined;
for (;;) {
  const status = await fetch(url, { signal: AbortSignal.timeout(5000) }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.status;
    },
    () => 0,
  );
  if (status !== last) console.log(JSON.stringify({ status, at: Date.now() }));
  last = status;
  await Bun.sleep(PAUSE_MS);
}
