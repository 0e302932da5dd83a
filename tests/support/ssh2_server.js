// The least SSH server with npm's ssh2 that runs commands: MODULES PORT HOST_KEY AUTHORIZED_KEYS.
// It wants new keys after each megabyte of output.
"use strict";
const { readFileSync } = require("fs");
const { spawn } = require("child_process");
const [modules, port, hostKey, authorized] = process.argv.slice(2);
const { Server, utils } = require(`${modules}/ssh2`);

const allowed = utils.parseKey(readFileSync(authorized));

const server = new Server({ hostKeys: [readFileSync(hostKey)] }, (client) => {
  client.on("authentication", (attempt) => {
    const known =
      attempt.method === "publickey" && attempt.key.data.equals(allowed.getPublicSSH());
    if (!known) return attempt.reject(["publickey"]);
    if (attempt.signature && !allowed.verify(attempt.blob, attempt.signature, attempt.hashAlgo))
      return attempt.reject();
    return attempt.accept();
  });
  client.on("error", () => {});
  client.on("session", (accept) => {
    accept().on("exec", (acceptExec, _, info) => {
      const stream = acceptExec();
      const child = spawn("sh", ["-c", info.command]);
      stream.pipe(child.stdin).on("error", () => {});
      child.stdout.pipe(stream, { end: false });
      let sent = 0;
      child.stdout.on("data", (data) => {
        if (sent >> 20 !== (sent += data.length) >> 20) client.rekey();
      });
      child.stderr.pipe(stream.stderr, { end: false });
      child.on("close", (status, signal) => {
        if (signal) stream.exit(signal);
        else stream.exit(status);
        stream.end();
      });
    });
  });
});
server.listen(Number(port), "127.0.0.1");
