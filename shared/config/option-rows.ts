/**
 * What the pages say of the options of a section, by key; `ROLE` in a key stands for each user of Redis. The
 * rows stand beside the parser that reads the options, and `npm run docs` makes the tables of them. Whether
 * an option is repeatable, or may come from a file, the tables know from the parser.
 */
export type OptionRows = Record<string, OptionRow>;

/** Both in Markdown, and each link from the root of the project. */
type OptionRow = {
  meaning: string;
  /** What counts where the option is absent; '' where there is nothing to say. */
  otherwise: string;
};

export const inCode = (value: string | number) => `\`${value}\``;
