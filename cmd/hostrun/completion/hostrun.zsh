#compdef hostrun
# Completion of hostrun for zsh. Load it with: source <(hostrun completion zsh), or store it as _hostrun in $fpath.
_hostrun() {
	local line
	local -a found
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			_files
		else
			found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		fi
	done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	_describe -t hostrun hostrun found
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
	_hostrun "$@"
else
	compdef _hostrun hostrun
fi
