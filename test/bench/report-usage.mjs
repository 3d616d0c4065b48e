// For `node --import`: a process tells on stderr, in one line of JSON, what it has used when it ends. CPU in
// milliseconds, the most memory that it had in megabytes. JavaScript, as the memory in which Node strips types would
// be counted, which the process alone does not need.

process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const usage = { cpuMs: (userCPUTime + systemCPUTime) / 1000, megabytes: maxRSS / 1024 };
  process.stderr.write(`usage ${JSON.stringify(usage)}\n`);
});
