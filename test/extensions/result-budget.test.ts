import { expect, test } from "bun:test";
import type { CommandResult } from "../../src/extensions/command-result.ts";
import { ResultBudget } from "../../src/extensions/result-budget.ts";

const holder = (size: number): { state: CommandResult } => ({
  state: {
    id: "1",
    command_name: "collect_system_logs",
    command_status: "SUCCEEDED",
    command_error: null,
    command_result: { system_logs: "x".repeat(size) },
  },
});

test("the oldest large results give way, small ones and the newest stay", () => {
  const budget = new ResultBudget({ large: 50, together: 250 });
  const holders = [100, 10, 100, 100, 10, 100].map(holder);
  for (const added of holders) budget.add(added);
  expect(holders.map(({ state }) => state.command_result === null)).toEqual([
    true, // the oldest large ones
    false,
    true,
    false,
    false,
    false,
  ]);
  expect(holders[0]?.state.command_status).toBe("SUCCEEDED");
  const huge = holder(1000);
  budget.add(huge);
  expect(huge.state.command_result).not.toBeNull();
  expect(holders[5]?.state.command_result).toBeNull();
});

test("by default a few archives of logs fit", () => {
  const budget = new ResultBudget();
  const archives = Array.from({ length: 20 }, () => holder(2 * 1024 * 1024));
  for (const added of archives) budget.add(added);
  expect(archives.filter(({ state }) => state.command_result !== null).length).toBe(15);
});
