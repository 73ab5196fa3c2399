// Plays a conversation through the AI SDK's own chat, which is what useChat is made of.
// Stdin: {"url", "steps": [{"send"? | "approve"? (one or a list) | "output"?, "stopAfter"?}]}. Stdout: what came of each step.
import { AbstractChat, DefaultChatTransport } from "ai";
import { read, write } from "./io.mjs";

class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => this.messages.push(message);
  popMessage = () => this.messages.pop();
  replaceMessage = (index, message) => (this.messages[index] = structuredClone(message));
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(init) {
    super({ ...init, state: new State() });
  }
  get everything() {
    return { status: this.status, error: this.error ? String(this.error) : null, messages: structuredClone(this.messages) };
  }
}

const { url, steps } = await read();
const data = [];
let ended = null;
const chat = new Chat({
  transport: new DefaultChatTransport({ api: url }),
  onData: (part) => data.push(part),
  onFinish: ({ isAbort, isDisconnect, isError, finishReason }) => {
    ended = { isAbort, isDisconnect, isError, finishReason };
  },
});
const outcomes = [];
for (const step of steps) {
  data.length = 0;
  ended = null;
  let watching;
  if (step.stopAfter) {
    watching = setInterval(() => {
      if (JSON.stringify(chat.messages).includes(step.stopAfter)) chat.stop();
    }, 5);
  }
  if (step.approve) {
    for (const answer of [step.approve].flat()) await chat.addToolApprovalResponse(answer);
    await chat.sendMessage();
  } else if (step.output) {
    await chat.addToolOutput(step.output);
    await chat.sendMessage();
  } else if (step.regenerate) {
    await chat.regenerate();
  } else {
    await chat.sendMessage(step.send);
  }
  clearInterval(watching);
  outcomes.push({ ...chat.everything, data: [...data], ended });
}
write(outcomes);
