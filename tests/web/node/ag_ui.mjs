// Plays a conversation with an AG-UI server through the official client, whose verifier refuses a wrong order of events.
// Stdin: {"url", "tools", "steps": [{"messages"?, "resume"?, "stopAfter"?}]}. Stdout: what came of each step.
import { HttpAgent } from "@ag-ui/client";
import { read, write } from "./io.mjs";

const { url, tools, steps } = await read();
const agent = new HttpAgent({ url, threadId: "thread" });
const outcomes = [];
for (const step of steps) {
  const outcome = { events: [], error: null };
  for (const message of step.messages ?? []) agent.addMessage(message);
  const subscriber = {
    onEvent({ event }) {
      outcome.events.push(event);
      if (event.type === step.stopAfter) agent.abortRun();
    },
    onRunFailed({ error }) {
      outcome.error = String(error);
    },
  };
  try {
    await agent.runAgent({ tools, resume: step.resume }, subscriber);
  } catch (error) {
    outcome.error = String(error);
  }
  outcome.messages = structuredClone(agent.messages);
  outcomes.push(outcome);
}
write(outcomes);
