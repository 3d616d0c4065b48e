/** What Markdown says, without its links and marks. */
export const plainText = (markdown: string): string =>
  markdown
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(
      /`([^`]*)`|(?<!\w)_([^_`]+)_(?!\w)|\*\*([^*`]+)\*\*/g,
      (_, code, emphasis, strong) => code ?? emphasis ?? strong,
    );
