// Reads with `wakatime-client` of npm, and prints what it understood, as JSON.
//
//   node wakatime-reads.cjs URL KEY DATE
"use strict";

const { RANGE, WakaTimeClient } = require("wakatime-client");

const [url, key, date] = process.argv.slice(2);

async function main() {
  const client = new WakaTimeClient(key, `${url}/api/v1`);
  const [summaries, stats, durations, user] = await Promise.all([
    client.getMySummary({ dateRange: { startDate: date, endDate: date } }),
    client.getMyStats({ range: RANGE.LAST_7_DAYS }),
    client.getMyDurations({ date }),
    client.getMe(),
  ]);
  const spent = durations.data.map((one) => one.duration).reduce((sum, one) => sum + one, 0);
  return {
    summaries: summaries.data[0].grand_total.total_seconds,
    stats: stats.data.total_seconds,
    durations: spent,
    user: user.data.id,
  };
}

main().then((read) => console.log(JSON.stringify(read)));
