// Starts a program and tells how long it takes until its admin port says that it is ready, in ms; then stops it.
//   bun bench/ready.ts ADMIN-PORT PROGRAM [ARGUMENT …]   → one number
const [port = "", ...argv] = process.argv.slice(2);
const GIVE_UP_MS = 20_000;

const start = performance.now();
const child = Bun.spawn(argv, { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
let elapsed = Number.NaN;
while (child.exitCode === null && performance.now() - start < GIVE_UP_MS) {
  const status = await fetch(`http://127.0.0.1:${port}/ready`).then(
    (answer) => answer.status,
    () => 0,
  );
  if (status === 200) {
    elapsed = performance.now() - start;
    break;
  }
  await Bun.sleep(1);
}
child.kill("SIGKILL");
await child.exited;
console.log(elapsed.toFixed(1));
