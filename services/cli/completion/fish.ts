/** What FIND of the other shells does, in fish's own words; `script.ts` fills in the words in capitals. */
export const FISH = `function _quarry_find
  set -l current (commandline -ct)
  set -l words (commandline -opc)
  set -l given
  set -l skip ''
  for word in $words[2..-1]
    if test -n "$skip"
      set skip ''
      continue
    end
    switch $word
      case '-*'
        contains -- $word (string split ' ' -- 'VALUED'); and set skip $word
      case '*'
        set -a given $word
    end
  end
  if test -n "$skip"
    contains -- $skip (string split ' ' -- 'WITH_FILES'); and __fish_complete_path "$current"
    return
  end
  for form in (string split \\n -- 'EACH_FORM')
    set -l tokens (string split ' ' -- $form)
    set -l at 1
    set -l fits yes
    for word in $given
      set -l token $tokens[$at]
      switch "$token"
        case '' '--*'
          set fits no
        case '<*>+'
        case '<*'
          set at (math $at + 1)
        case '*'
          contains -- $word (string split '|' -- $token); and set at (math $at + 1); or set fits no
      end
      test $fits = yes; or break
    end
    test $fits = yes; or continue
    if string match -q -- '-*' "$current"
      printf '%s\\n' --help (string match -- '--*' $tokens)
      continue
    end
    set -l token $tokens[$at]
    switch "$token"
      case '' '--*'
      case '<file>*'
        __fish_complete_path "$current"
      case '<directory>*'
        __fish_complete_directories "$current"
      case '<*'
      case '*'
        string split '|' -- $token
    end
  end
end
complete -c quarry -e
complete -c quarry -f -a '(_quarry_find)'
`;
