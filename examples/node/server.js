const fs = require("node:fs");
const path = require("node:path");
const express = require("express");

// node resolves `current` when it starts: this process keeps its release, also for what it requires later.
const release = path.basename(__dirname);
const uploads = path.join(__dirname, "uploads");
const app = express();

app.get("/health", (request, answer) => answer.json({ release }));
app.put("/uploads/:name", express.raw({ type: "*/*" }), (request, answer) => {
  fs.writeFileSync(path.join(uploads, path.basename(request.params.name)), request.body);
  answer.sendStatus(201);
});
app.use("/uploads", express.static(uploads));
app.use(express.static(path.join(__dirname, "public")));

const server = app.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => server.close());
