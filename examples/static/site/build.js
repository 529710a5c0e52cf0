import fs from "node:fs";
import { marked } from "marked";

fs.cpSync("static", "dist", { recursive: true });
for (const name of fs.readdirSync("content")) {
  const html = marked.parse(fs.readFileSync(`content/${name}`, "utf8"));
  const page = `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/style.css">\n${html}`;
  fs.writeFileSync(`dist/${name.replace(/\.md$/, ".html")}`, page);
}
