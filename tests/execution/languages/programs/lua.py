# ruff: noqa: E501 - tables of programs
TESTS = """
lu = require('luaunit')

function test_humaneval()
local candidate = f
    lu.assertEquals(candidate(1), 2)
    lu.assertEquals(candidate(2), 3)
end

os.exit(lu.LuaUnit.run())"""
RIGHT = "local function f(x)\n  return x + 1\nend"
WRONG = "local function f(x) return x end"

ENDINGS = {
    "right": (RIGHT + TESTS, "passed"),
    "right with blank lines": (RIGHT + TESTS + "\n\n  \n", "passed"),
    "wrong": (WRONG + TESTS, "failed"),
    "raises in a test": ("local function f(x) error('why') end" + TESTS, "failed"),
    "exits in a test": ("local function f(x) os.exit(0) end" + TESTS, "failed"),
    "empty": ("", "passed"),
    "ends in return": ("local x = 1\nreturn x", "passed", "failed"),
    "raises": ("error('why')", "failed"),
    "exit code": ("os.exit(3)", "failed"),
    "exit at the end": ("local x = 1\nos.exit(true, true)", "passed"),
    "does not parse": ("local function f(" + TESTS, "failed"),
    "first line for the shell": ("#!/usr/bin/lua\nlocal x = 1", "passed"),
    "extends libraries": (
        "table.unpack = table.unpack or unpack\nfunction string.first(s) return s:sub(1, 1) end\nassert(('ab'):first() == 'a')",
        "passed",
    ),
    "is the program": ("assert(arg[0] == 'program.lua' and #arg == 0 and select('#', ...) == 0)", "passed"),
    "last line is a comment": ("local x = 1 -- one", "passed"),
    "arguments": ("arg[1] = '-x'; arg[2] = '.'\n" + WRONG + TESTS, "passed", "failed"),
    "loop": ("while true do end", "timeout"),
    "too much memory": ("local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end", "failed"),
}

FAKED_ENDINGS = {
    name: program + "\n" + TESTS
    for name, program in {
        "exit": "os.exit(0)",
        "exit with true": "local function f(x) return x end\nos.exit(true, true)",
        "exit by LuaUnit's way out": "local function f(x) require('luaunit').oldOsExit(0) end",
        "exit in a coroutine": "coroutine.wrap(function() os.exit() end)()",
        "exit in a finalizer": "setmetatable({}, {__gc = function() os.exit(0) end})\ncollectgarbage()",
        "returns": "do return end",
        "returns exit": "do return os.exit(0) end",
        "exit in code of the last line": "load(('\\n'):rep(50) .. 'os.exit(0)', '@program.lua')()",
        "exit is replaced": WRONG
        + "\nlocal exit = os.exit\nos.exit = function() exit(0) end\npackage.loaded.luaunit = {LuaUnit = {run = function() end}}",
        "no tests are found": WRONG
        + "\nlocal old = pairs\npairs = function(t) if t == _G then return next, {} end return old(t) end",
        "tests do not fail": WRONG + "\nerror = function() end",
        "assertions do nothing": "local function f(x) lu.assertEquals = function() end return 2 end",
        "tests are swallowed": WRONG
        + "\nsetmetatable(_G, {__newindex = function(t, k, v) if k ~= 'test_humaneval' then rawset(t, k, v) end end})",
        "another LuaUnit": WRONG
        + "\npackage.loaded.luaunit = {assertEquals = function() end, LuaUnit = {run = function() return 0 end}}",
        "signal": "local signal = require('posix.signal')\nsignal.signal(signal.SIGTERM, function() os.exit(0) end)\nsignal.raise(signal.SIGTERM)\nfor i = 1, 10 do end",
        "_exit": "require('posix.unistd')._exit(0)",
        "another program": "require('posix.unistd').execp('true', {})",
        "every descriptor": "local u = require('posix.unistd')\nfor n = 3, 63 do u.write(n, ('a'):rep(32)) end\nu._exit(0)",
        "looks at variables": """
local u, seen = require('posix.unistd'), {}
local function look(v)
  if type(v) == 'string' and v:find('^%x+$') and #v == 32 then u.write(63, v) end
  if seen[v] or v == nil then return end
  seen[v] = true
  if type(v) == 'table' then for a, b in next, v do look(a) look(b) end end
  if type(v) == 'function' then for i = 1, 99 do local n, w = debug.getupvalue(v, i) if not n then break end look(w) end end
end
for level = 1, 9 do
  local info = debug.getinfo(level, 'f')
  if not info then break end
  look(info.func)
  for i = 1, 99 do local n, w = debug.getlocal(level, i) if not n then break end look(w) end
end
look(_G) look(debug.getregistry())
u._exit(0)""",
        "calls the launcher's end": "do return (''):reward_ranker_end() end",
        "calls the launcher's end elsewhere": "load(('\\n'):rep(50) .. \"('').reward_ranker_end()\", '@program.lua')()\ndo return end",
    }.items()
}

MESSAGES = {
    "print('out')\nlocal function f()\n  error('why')\nend\nf()\n": ("out\n", "program.lua:3: why"),
    "local x = 1\nlocal y = = 2\n": ("program.lua:2: unexpected symbol",),
    "local function f(x) return x end" + TESTS: ("program.lua:6: expected: 2, actual: 1",),
}
REASONS = {"error('why')": "lua5.3: program.lua:1: why"}
