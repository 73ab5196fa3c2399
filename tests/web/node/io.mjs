// JSON in, JSON out.
export async function read() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  return JSON.parse(text);
}

export function write(value) {
  process.stdout.write(JSON.stringify(value), () => process.exit(0));
}
