// A real server that speaks first: MariaDB, with its own client, each in its pod.
import { chownSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { PROXY_UID } from "../../bench/lab.ts";
import { run } from "../../bench/tools.ts";
import type { Mesh } from "../mesh.ts";
import { Payloads } from "../payload.ts";

export const MARIADB_PORT = 3306;
/** Programs of Debian's mariadb-server-core and mariadb-client-core. */
export const MARIADB_PROGRAMS = ["mariadbd", "mariadb-install-db", "mariadb"] as const;
const USER = "journey";
const PASSWORD = "from pod to pod";
const ROWS = 300;
const ROW_BYTES = 2000;

/** Whoever runs the server: a database refuses to be root's. */
const SERVER_UID = PROXY_UID + 1;

/** Starts the server at the address of the server pod. */
export async function startMariadb(mesh: Mesh): Promise<void> {
  const { lab, pair } = mesh;
  const home = join(lab.directory, "mariadb");
  mkdirSync(join(home, "data"), { recursive: true });
  for (const path of [home, join(home, "data")]) chownSync(path, SERVER_UID, SERVER_UID);
  const as = ["setpriv", `--reuid=${SERVER_UID}`, `--regid=${SERVER_UID}`, "--clear-groups"];
  run(
    [...as, "mariadb-install-db", "--no-defaults", `--datadir=${home}/data`, "--skip-test-db", "--auth-root-authentication-method=socket"],
    {
      HOME: home,
      TMPDIR: home,
    },
  );
  const init = join(home, "init.sql");
  const statements = [
    "CREATE DATABASE journey;",
    `CREATE USER ${USER}@'%' IDENTIFIED BY '${PASSWORD}';`,
    `GRANT ALL ON journey.* TO ${USER}@'%';`,
  ];
  await Bun.write(init, `${statements.join("\n")}\n`);
  const settings = [
    `--datadir=${home}/data`,
    `--socket=${home}/socket`,
    `--pid-file=${home}/pid`,
    `--init-file=${init}`,
    `--tmpdir=${home}`,
  ];
  // The pod's own address: clients come from proxy B, which connects to where the client's proxy wanted to go.
  const network = [`--bind-address=${pair.server.ip}`, `--port=${MARIADB_PORT}`, "--skip-name-resolve"];
  // Small: it has a table of half a megabyte.
  const small = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--performance-schema=OFF", "--skip-log-bin"];
  lab.start(pair.server, lab.otherCore, ["mariadbd", "--no-defaults", ...settings, ...network, ...small], {
    uid: SERVER_UID,
    log: "mariadb.log",
  });
  // The init file is read after the socket is there; its user tells that all is.
  const deadline = performance.now() + 60_000;
  while (!existsSync(`${home}/pid`) || !/ready for connections/.test(await lab.log("mariadb.log"))) {
    if (performance.now() > deadline) throw new Error(`mariadbd is not ready:\n${await lab.log("mariadb.log")}`);
    await Bun.sleep(100);
  }
}

/** Rows of binary text go in and come out, in one session, by the server's own client. */
export async function mariadbSession(mesh: Mesh): Promise<string> {
  const payloads = new Payloads();
  const value = (row: number): string => payloads.of(row, ROW_BYTES).toString("hex");
  const inserts = Array.from({ length: ROWS }, (_, row) => `INSERT INTO t VALUES (${row}, '${value(row)}');`);
  const script = ["CREATE TABLE t (id INT PRIMARY KEY, v TEXT);", ...inserts, "SELECT id, v FROM t ORDER BY id;", "SELECT VERSION();"].join(
    "\n",
  );
  const file = join(mesh.lab.directory, "session.sql");
  await Bun.write(file, script);
  const client = ["mariadb", "--no-defaults", `--host=${mesh.pair.service}`, `--port=${MARIADB_PORT}`, "--protocol=tcp", `--user=${USER}`];
  const options = [`--password=${PASSWORD}`, "--batch", "--raw", "--skip-column-names", "--database=journey", `--execute=source ${file}`];
  const lines = (await mesh.output(mesh.pair.client, [...client, ...options])).trimEnd().split("\n");
  for (let row = 0; row < ROWS; row++) if (lines[row] !== `${row}\t${value(row)}`) throw new Error(`row ${row} is not what was inserted`);
  return `${ROWS} rows, ${ROWS * ROW_BYTES * 2} bytes of text each way; server ${lines[ROWS]}`;
}
