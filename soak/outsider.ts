// A client without an identity: its requests go past its proxy in clear text, and must all be refused. A line with the number of
// refusals each second; anything else ends it with an error.
//   bun soak/outsider.ts IP PORT      (as a user whose traffic is not redirected)
const [ip = "", port = ""] = process.argv.slice(2);
let refused = 0;
for (;;) {
  const response = await fetch(`http://${ip}:${port}/`, { headers: { connection: "close" } });
  await response.arrayBuffer();
  if (response.status !== 403) {
    console.log(`status ${response.status}`);
    process.exit(1);
  }
  console.log(++refused);
  await Bun.sleep(1000);
}

export {};
