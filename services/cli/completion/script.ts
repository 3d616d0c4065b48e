import { type FormOption, type FormWord, parseForm } from '../form.ts';
import { FISH } from './fish.ts';

export type Shell = 'bash' | 'zsh' | 'fish';

/**
 * The completion of `quarry` for one shell, to be sourced. @param texts all forms of its commands, as help
 * shows them
 */
export function toScript(shell: Shell, texts: string[]): string {
  const forms = texts.map(parseForm);
  const valued = forms.flatMap(form => form.options).filter(option => option.value !== undefined);
  const named = (options: FormOption[]) => [...new Set(options.map(({ name }) => `--${name}`))].join(' ');
  const lines = forms.map(({ words, options }) =>
    [...words.map(toToken), ...options.map(({ name }) => `--${name}`)].join(' '),
  );
  const withFiles = valued.filter(({ value = '' }) => toKind(value) === 'file');
  const fill = (script: string) =>
    script
      .replace('VALUED', () => named(valued))
      .replace('WITH_FILES', () => named(withFiles))
      .replace('EACH_FORM', () => lines.join('\n'));
  const mark = shell === 'zsh' ? '#compdef quarry\n' : '';
  return `${mark}# Completion of quarry for ${shell}: quarry completion ${shell}\n${fill(scripts[shell])}`;
}

/** `key|keys`, or a value: `<file>`, `<directory>+` (one or more), `<value>`. */
function toToken(word: FormWord): string {
  return word.is === 'literal' ? word.spellings.join('|') : `<${toKind(word.name)}>${word.many ? '+' : ''}`;
}

function toKind(name: string): 'file' | 'directory' | 'value' {
  if (/(^|-)(FILE|PATH)$/.test(name)) return 'file';
  return name === 'DIRECTORY' ? 'directory' : 'value';
}

/**
 * The same text in both shells: finds what may stand at the cursor, given the word there and the words before
 * it. A form that the words before fit says with its next token what comes; options, and words behind a value
 * of many, may come at any time.
 */
const FIND = `_quarry_find() {
  [ -z "\${ZSH_VERSION-}" ] || emulate -L ksh
  local current=$1 skip= word form token at
  local -a given tokens
  shift
  candidates=() wanted=
  for word in "$@"; do
    if [ -n "$skip" ]; then
      skip=
      continue
    fi
    case $word in
      -*) case " VALUED " in *" $word "*) skip=$word ;; esac ;;
      *) given+=("$word") ;;
    esac
  done
  if [ -n "$skip" ]; then
    case " WITH_FILES " in *" $skip "*) wanted=file ;; esac
    return
  fi
  while read -r form; do
    tokens=($form)
    at=0
    for word in "\${given[@]}"; do
      token=\${tokens[at]-}
      case $token in
        '' | --*) continue 2 ;;
        '<'*'>+') ;;
        '<'*) at=$((at + 1)) ;;
        *)
          case "|$token|" in
            *"|$word|"*) at=$((at + 1)) ;;
            *) continue 2 ;;
          esac
          ;;
      esac
    done
    case $current in
      -*)
        candidates+=(--help)
        for token in "\${tokens[@]}"; do
          case $token in --*) candidates+=("$token") ;; esac
        done
        ;;
      *)
        token=\${tokens[at]-}
        case $token in
          '' | --*) ;;
          '<file>'*) wanted=file ;;
          '<directory>'*) wanted=directory ;;
          '<'*) ;;
          *'|'*) candidates+=(\${token//|/ }) ;;
          *) candidates+=("$token") ;;
        esac
        ;;
    esac
  done <<'END_OF_FORMS'
EACH_FORM
END_OF_FORMS
}`;

/** The line is split at blanks alone: COMP_WORDS would have the URLs in pieces. */
const BASH = `_quarry() {
  local line=\${COMP_LINE:0:COMP_POINT} current= wanted
  local -a words candidates
  read -ra words <<<"$line"
  case $line in
    *[[:space:]]) ;;
    *)
      current=\${words[\${#words[@]} - 1]}
      unset "words[\${#words[@]} - 1]"
      ;;
  esac
  _quarry_find "$current" "\${words[@]:1}"
  COMPREPLY=()
  if [ \${#candidates[@]} -gt 0 ]; then
    COMPREPLY=($(compgen -W "\${candidates[*]}" -- "$current"))
  fi
  [ -z "$wanted" ] || compopt -o filenames 2>/dev/null
  case $wanted in
    file) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current") ;;
    directory) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current") ;;
  esac
}
complete -F _quarry quarry
`;

/** Both ways: as a file of \`fpath\`, and sourced. */
const ZSH = `_quarry() {
  local wanted
  local -a candidates
  _quarry_find "$words[CURRENT]" "\${(@)words[2,CURRENT-1]}"
  compadd -- $candidates
  case $wanted in
    file) _files ;;
    directory) _files -/ ;;
  esac
}
if [ "\${funcstack[1]}" = _quarry ]; then _quarry "$@"; else compdef _quarry quarry; fi
`;

const scripts: Record<Shell, string> = { bash: `${FIND}\n${BASH}`, zsh: `${FIND}\n${ZSH}`, fish: FISH };
