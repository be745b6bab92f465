package imports

import "hostrun.dev/hostrun/pattern"

var (
	cookiePattern = pattern.New(`^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)`) // PEP 263
	moduleName    = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
)
