import { ask } from "./api.js";

const { greeting } = await ask("greeting");
const { commit } = await ask("health");
document.querySelector("#greeting").textContent = greeting;
document.querySelector("#commit").textContent = commit;
