export async function ask(path) {
  const answer = await fetch(`/api/${path}`);
  return answer.json();
}
