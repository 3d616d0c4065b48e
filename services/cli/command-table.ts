import type { Command } from './command.ts';

// The table of all commands in the pages: `npm run docs` writes it, between these marks.

const marked = /(<!-- commands: made by npm run docs -->\n)[\s\S]*?(?=<!-- end of commands -->)/g;

/** A page with its table of the commands as they tell of themselves, in the order of the help. */
export function fillCommands(text: string, commands: Record<string, Command>): string {
  const rows = Object.values(commands).map(({ usage, summary, example }) => {
    const forms = usage.map(form => `\`${escapeCell(form)}\``).join('<br>');
    return `| ${forms} | ${escapeCell(summary)} | \`${escapeCell(example)}\` |`;
  });
  const table = ['| `quarry` … | does | for example |', '| --- | --- | --- |', ...rows].join('\n');
  return text.replace(marked, (_, mark: string) => `${mark}\n${table}\n\n`);
}

/** Between backquotes, too, a bar ends the cell of a table. */
const escapeCell = (text: string) => text.replaceAll('|', '\\|');
