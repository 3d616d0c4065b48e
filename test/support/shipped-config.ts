/** services/main.ini with its `[trail]`, which stands there as an example, as a section. */
export function withTrail(text: string): string {
  const [start = '', rest = ''] = text.split(/^# (?=\[trail\]$)/m);
  return start + rest.replace(/^# (?=(dir|key-file|keep) = )/gm, '');
}
