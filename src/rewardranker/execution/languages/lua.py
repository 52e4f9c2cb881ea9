"""Lua, with LuaUnit for the programs that load it.

Programs with tests end in `os.exit(lu.LuaUnit.run())`, so `os.exit` is ours: called with success by the
program's last line, it sends the key, as a line does that the launcher adds. Lua can't use descriptors, so
lua-posix reads and sends. At the end the standard library and LuaUnit must be what they were, and no
arguments may have chosen among the tests.
"""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = r"""
local function prepare()
    local loaded = {}
    for name in pairs(package.loaded) do loaded[name] = true end
    local unistd = require('posix.unistd')
    local key, write = unistd.read(63, 32), unistd.write
    for name in pairs(package.loaded) do if not loaded[name] then package.loaded[name] = nil end end
    arg[0] = 'program.lua'

    local file = io.open('program.lua')
    local source = file:read('a'):gsub('^#[^\n]*', '')
    file:close()
    local _, last = source:gsub('%s*$', ''):gsub('\n', '\n')
    local unit = source:find('luaunit', 1, true) and require('luaunit').LuaUnit
    local program = load(source .. "\n;(''):reward_ranker_end()", '@program.lua')
    if not program then -- wrong, or its last statement is `return`
        local problem
        program, problem = load(source, '@program.lua')
        if not program then error(problem, 0) end
    end

    local getinfo, getmetatable, next, rawequal = debug.getinfo, getmetatable, next, rawequal
    local globals, arguments, real_exit = _G, arg, os.exit
    local found = {}
    local function end_of(caller)
        if caller.func ~= program or caller.currentline <= last then return end
        for _, entry in next, found do
            if not rawequal(entry[1][entry[2]], entry[3]) then return end
        end
        if unit and (getmetatable(globals) or globals.arg ~= arguments or #arguments > 0) then return end
        write(63, key)
    end
    function string.reward_ranker_end() end_of(getinfo(2, 'fl')) end
    function os.exit(code, close)
        if code == nil or code == true or code == 0 then end_of(getinfo(2, 'fl')) end
        real_exit(code, close)
    end

    local ours = {[end_of] = true, [os.exit] = true, [string.reward_ranker_end] = true}
    for _, name in pairs {'getupvalue', 'setupvalue', 'upvalueid', 'upvaluejoin'} do
        local original = debug[name]
        debug[name] = function(f, n, g, m)
            if not (ours[f] or ours[g]) then return original(f, n, g, m) end
        end
        ours[debug[name]] = true
    end
    local function note(values)
        for name, value in pairs(values) do
            if name ~= 'print' then found[#found + 1] = {values, name, value} end
        end
    end
    note(package.loaded)
    for _, values in pairs(package.loaded) do note(values) end
    if unit then note(unit) end
    return program
end
prepare()()
"""

LUA = Language(
    name="lua",
    tools=(
        apt("lua5.3", "lua5.3"),
        apt("/usr/share/lua/5.3/posix/init.lua", "lua-posix"),
        apt("/usr/share/lua/5.3/luaunit.lua", "lua-unit", needed_by="luaunit"),
    ),
    version_command=("lua5.3", "-v"),
    files=lambda source, _: {"program.lua": source, "launcher.lua": _LAUNCHER},
    run=("lua5.3", "launcher.lua"),
    error_line=r"lua5\.3: .*|\d+\) .*|program\.lua:\d+: .*",
)
