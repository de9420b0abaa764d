"""Makes test/golden/jinja/cases.json: templates, variables, and what Jinja2 makes of them.

Run from the repository root with Python that has jinja2 and transformers:
    python test/golden/jinja.py
Each case is [template, variables, text], or [template, variables, null] where Jinja2 raises. The
environment is the one transformers renders chat templates in.
"""
import itertools
import json
import re

from transformers.utils import chat_template_utils

V = {
    "s": "Hello, World", "e": "", "u": "Grüße, 世界 🙂!", "n": 7, "neg": -7, "z": 0, "f": 2.5, "t": True, "no": False,
    "nil": None, "l": [3, 1, 2], "el": [], "w": ["pear", "Apple", "fig"], "d": {"b": 1, "a": [1, {"x": None}], "C": "q\"'"},
    "ed": {}, "p": [{"k": "x", "v": 2, "o": {"i": "B"}}, {"k": "y", "v": 1, "o": {"i": "a"}}, {"k": "x", "v": 3, "o": {"i": "c"}}],
    "ml": "one\n  two\r\n\nthree\n", "big": 9007199254740993, "items": "shadow",
}

EXPR = r"""
1 + 2 * 3 - 4 ~ '|' ~ 2 ** 3 ** 2
7 // 2, -7 // 2, 7 // -2, -7 // -2
7 % 3, -7 % 3, 7 % -3, -7 % -3, 7.5 % 2, -7.5 % 2
7 / 2, 6 / 3, 1 / 3, 2 ** -1, 7.0 // 2, -7.5 // 2
1 / 0
1 // 0
1 % 0
10 ** 18
0 ** 0, (-2) ** 3, (-1) ** 1001
1e16, 1e15, 123456789012345680.0, 0.0001, 0.00001, 1.5e-7, 1e100, 0.1 + 0.2, 100.0, -0.0
1.0 == 1, true == 1, 'a' == 'a', none == false, [] == (), [1] == [1.0], {'a': 1} == {'a': true}
1 < 2 < 3, 1 < 2 > 5, 3 >= 3 != 4
'a' < 'b', 'Z' < 'a', 'ab' < 'abc', [1, 2] < [1, 3], (1,) < (1, 0)
1 < 'a'
none < 1
[] < {}
nil < nil
missing < 1
missing + 1
'a' + 1
1 + 'a'
'a' * 3, 3 * 'ab', 'a' * 0, 'a' * -1, [1, 2] * 2, (1,) * 3
'a' - 'b'
[1] + [2], (1,) + (2, 3)
[1] + (2,)
-n, +n, -f, - -n, -true, +true
-s
not t, not e, not el, not nil, not 'a', not missing
t and n, e and n, e or n, nil or e, n or s, missing or 'x', missing and 'x'
n if t else s, n if no else s, n if no
(n if no) is defined
1 if no else 2 if no else 3
'or' in 'World', 'x' in s, '' in s, 1 in l, 9 not in l, 'a' in d, 'z' not in d, 1 in (1, 2)
1 in 'a'
'a' in nil
'a' in missing, missing in [missing], 'a' in d.keys(), 3 in d.values(), 2 in range(3)
s[0], s[-1], s[99], u[2], u[-2], l[0], l[-1], l[9], d['b'], d['zz'], l['a'], s['a'], l[true]
s[1:4], s[:3], s[-3:], s[::-1], s[::2], s[5:2], s[-100:100], u[1:9:2], u[::-1], l[::-1], l[1:], l[-2:-1], (1,2,3)[1:]
s[::0]
s['a':]
u[3:5], u[8:], u[:2], range(10)[2:5], range(10)[::-3], l[5:], l[2:0:-1], s[10:0:-3]
d.a[1].x, d.a[0], d['a'][1]['x'], d.C, d.nothing
d.nothing.more
missing.more
missing[0]
missing[1:]
nil.more
nil['more'], n.more, s.more, t.more, f['x']
missing()
nil()
n.upper()
d.nothing()
d.items() | list, d.keys() | list, d.values() | list, d.items(), d.keys(), d.values()
d.get('b'), d.get('zz'), d.get('zz', 5), d.get('zz', default=5) if no else 1
d.update({'x': 1})
d.pop('b')
l.append(4)
l.sort()
l.index(1), l.count(3), (1, 1, 2).count(1), (1, 2).index(2)
l.index(99)
p[0].items()|list
[], (), {}, (1,), [1, 'a', none, true, 1.5], {'a': [1], 2: (3, 4)}, ((1, 2), [3])
'it\'s', "q\"q", ['it\'s'], ["q\"q"], ["'\""], ['\n\t\r\\\x00\x7f\x1b'], ['é\xa0\u200b\ud7ff\U0001f642'], [u]
'a' 'b' "c", 'tab\there', 'x\x41\u00e9\101\0', '\q\w'
's'|float ~ 'inf'|float
0x1F, 0o17, 0b101, 1_000_000, 1_0.5_0, 00, 1e3, 2E-2, 1_0e1_0
true, True, false, False, none, None
true + true, 3 * true, true ~ none ~ 1.0 ~ [1]
'%s is %d, %5.2f|%-5s|%05d|%x|%%' % ('a', 3, 1.236, 'b', 42, 255)
'%(a)s %(b)03d' % {'a': 'x', 'b': 7}
'%s' % 'one', '%s' % [1, 2], '%r' % 'q', '%+d % d' % (3, 4), '%e %g %G' % (12345.678, 0.00001, 1e20), '%c%c' % (65, 'B')
'%s %s' % 'one'
'%s' % (1, 2)
'%d' % 'x'
'%.3s|%*d|%#x|%o' % ('abcdef', 5, 42, 255, 8)
'{} {}'.format(1, 'a'), '{1}{0}'.format('a', 'b'), '{x}-{y[0]}-{z.k}'.format(x=1, y=[5], z={'k': 3}) if no else '', '{{}}'.format()
'{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:*^7}'.format('a', 'b', 'c', 42, 3.14159, 'mid')
'{!r} {!s}'.format('a', 'b'), '{:d} {:x} {:+d} {:e}'.format(5, 255, 5, 12.5), '{0[k]} {0[v]}'.format(p[0])
'{}'.format()
'{'.format()
s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), u.upper(), u.lower(), 'ß'.upper(), 'straße'.title(), "they're".title()
s.split(), s.split(','), s.split(', '), s.split('l', 1), s.rsplit('l', 1), '  a  b '.split(), '  a  b c '.split(none, 1), '  a b  c '.rsplit(none, 1), ''.split(), ''.split(','), 'a,b,c'.split(',', maxsplit=1), 'a,b,,c'.rsplit(',')
s.split('')
' x '.strip(), 'xxaxx'.strip('x'), 'xyaxy'.lstrip('yx'), 'xyaxy'.rstrip('xy'), '\u3000\n a\x1c'.strip(), 'éaé'.strip('é')
s.startswith('He'), s.startswith(('x', 'H')), s.endswith('ld'), s.endswith(('a', 'b')), s.startswith('l', 2), s.startswith('', 99), s.endswith('lo', 0, 5)
s.startswith(1)
s.startswith(['H'])
s.replace('l', 'L'), s.replace('l', 'L', 1), s.replace('', '-'), s.replace('xyz', ''), u.replace('ü', 'ue'), 'aaa'.replace('aa', 'b'), 'ab'.replace('', 'é', 2)
s.find('o'), s.find('o', 5), s.find('zz'), s.rfind('o'), s.index('W'), u.find('世'), u.find('界', 3), s.count('l'), s.count(''), 'aaaa'.count('aa'), u.rfind('e')
s.index('zz')
', '.join(w), '-'.join('abc'), ''.join([]), '+'.join(d)
', '.join([1])
ml.splitlines(), ml.splitlines(true), 'a\x0bb\u2028c'.splitlines(), ''.splitlines()
s.removeprefix('Hello'), s.removesuffix('World'), s.removeprefix('x'), s.partition(', '), s.rpartition('l'), s.partition('zz'), s.rpartition('zz')
'a'.center(5), 'ab'.center(5, '*'), 'a'.ljust(3) ~ '|', 'a'.rjust(3), '42'.zfill(5), '-42'.zfill(5), 'abc'.center(4) ~ '|'
'a1'.isalnum(), '12'.isdigit(), 'ab'.isalpha(), ' '.isspace(), 'A'.isupper(), 'a1'.islower(), ''.isalpha(), '²'.isdigit(), '½'.isnumeric(), 'é'.isascii(), '１'.isdecimal()
s|upper|lower|title, 'hello wORLD-foo (bar)'|title, 'fOO bAR'|capitalize
s|length, u|length, l|count, d|length, missing|length, range(5)|length
n|length
nil|length
l|join, l|join(', '), w|join('-'), p|join(',', attribute='k'), el|join('x'), [1, none, true]|join('/'), missing|join
l|first, l|last, el|first, el|last, s|first, s|last, u|last, d|first, range(3)|last
nil|first
missing|default('x'), nil|default('x'), e|default('x', true), e|d('x'), no|default('y', boolean=true), missing|d, missing|default
l|list, s|list, d|list, range(3)|list, missing|list
nil|list
p|map(attribute='k')|list, p|map(attribute='o.i')|join, p|map(attribute='zz', default='-')|list, w|map('upper')|list, l|map('string')|join('+'), w|map('replace', 'p', 'P')|list, el|map('upper')|list, p|map(attribute='zz')|list
w|map('nosuchfilter')|list
p|map()|list
p|map('upper', attribute='k')|list
l|select('odd')|list, l|reject('odd')|list, l|select|list, [0, 1, '', 'a']|select|list, [0, 1]|reject|list, l|select('gt', 1)|list, l|select('in', [1, 2])|list
p|selectattr('k', 'equalto', 'x')|map(attribute='v')|list, p|rejectattr('k', '==', 'x')|list, p|selectattr('v', '>', 1)|list|length, p|selectattr('zz')|list, p|selectattr('zz', 'defined')|list, p|selectattr('o.i', 'eq', 'a')|first, p|rejectattr('zz', 'undefined')|list
p|selectattr()|list
l|select('nosuchtest')|list
l|sort, l|sort(reverse=true), w|sort, w|sort(case_sensitive=true), p|sort(attribute='v')|map(attribute='v')|list, p|sort(attribute='k,v')|map(attribute='v')|list, d|sort, p|sort(attribute='k', reverse=true)|map(attribute='v')|list
[1, 'a']|sort
[none, 1]|sort
['b', 'B', 'a', 'A', 'b']|unique|list, l|unique|list, [1, 1.0, true, 2]|unique|list, p|unique(attribute='k')|map(attribute='v')|list, ['a', 'A']|unique(case_sensitive=true)|list
l|reverse|list, s|reverse, u|reverse, (1, 2)|reverse|list, d|reverse|list
s|replace('l', 'L'), s|replace('o', '0', 1), l|replace(',', ';'), n|replace(7, 8)
d|items|list, missing|items|list, ed|items|list
l|items|list
d|dictsort, d|dictsort(true), {'b': 1, 'A': 2}|dictsort(by='value'), {'b': 1, 'A': 2}|dictsort(reverse=true), {'b': 1, 'A': 2}|dictsort(false, 'value', true)
l|dictsort
'42'|int, '42.9'|int, ' 12 '|int, 'x'|int, 'x'|int(5), 3.99|int, -3.99|int, true|int, nil|int, '1_000'|int, '0x1f'|int(base=16), 'ff'|int(base=16), '101'|int(base=2), '1e3'|int, ''|int, l|int, '-5'|int, '0x1f'|int(0, 0), 'inf'|int, '+7'|int
missing|int
'1.5'|float, '1e3'|float, 'x'|float, 'x'|float(2.5), 3|float, nil|float, ' -2.50 '|float, '.5'|float, '5.'|float, true|float, '0x10'|float, '1_0.5'|float
n|string ~ '!', nil|string, [1]|string, missing|string
2.5|round, 3.5|round, 2.675|round(2), 1234.5678|round(1), 1234|round(-2), 2.1|round(0, 'ceil'), 2.9|round(method='floor'), -2.5|round, 42|round, 1250|round(-2), 1350|round(-2), -1250|round(-2), 2.55|round(1, 'floor'), 0.5|round
2.5|round(method='up')
-5|abs, 5|abs, -2.5|abs
'a'|abs
l|sum, [1.5, 2]|sum, p|sum(attribute='v'), el|sum, l|sum(start=10), [[1], [2]]|sum(start=[])
w|sum
l|min, l|max, w|min, w|max, el|min, p|max(attribute='v'), p|min(attribute='o.i'), ['a', 'B']|max(case_sensitive=true)
[1,2,3,4,5]|batch(2)|list, [1,2,3]|batch(2, 0)|list, [1,2,3,4,5]|slice(2)|list, [1,2,3,4,5]|slice(3, 'x')|list, el|batch(3)|list, el|slice(2)|list
p|groupby('k'), p|groupby('zz', default=1)|length, p|groupby('o.i')|map('first')|list
ml|indent, ml|indent(2, true), ml|indent('> ', true, true), ''|indent, 'a'|indent(first=true), 'a\nb'|indent(width=1)
n|indent
'<a href="x">\'&'|e, '<b>'|safe, '&lt;'|escape, 5|e, nil|e, '<'|e|e, '<'|e|forceescape
('<'|e) + '<', '<' + ('<'|e), ('<'|e) ~ '<', '<b>'|safe + '&'
'%s-%s'|format(1, 'b'), '%(x)s'|format(x=3), 'no'|format
'%s'|format
'a b  c_d, e-f'|wordcount, ''|wordcount
'a b/c?d=é&'|urlencode
'hello world foo'|truncate(9), 'hello world foo'|truncate(9, true), 'hello'|truncate(9), 'hello world foo'|truncate(11, false, '', 0), 'hello world'|truncate(10, end='..', leeway=0)
' x '|trim, 'xax'|trim('x'), nil|trim, 5|trim
'ab'|center(6) ~ '|', 'x'|center(3)
d|tojson, u|tojson, '<a>&\'"'|tojson, [1.0, 1e20, 1e-7, true, none]|tojson, (1, 2)|tojson, {1: 2, true: 3, none: 4, 1.5: 5}|tojson, '\x00\x1f\x7f\u2028'|tojson
d|tojson(indent=2), [] | tojson(indent=4), [[], {}, [1, [2]]]|tojson(indent=1), d|tojson(indent=0), d|tojson(indent='\t')
d|tojson(sort_keys=true), u|tojson(ensure_ascii=true), d|tojson(separators=(',', ':')), d|tojson(true, 2), p|tojson(indent=2, sort_keys=true)
missing|tojson
l|select|tojson
range(3)|tojson
{(1, 2): 3}|tojson
d.items()|tojson
'a'|tojson + 'b', ('a'|tojson)|length, 'é'|tojson|safe
n is defined, missing is defined, missing is undefined, nil is none, s is string, n is number, n is integer, f is float, t is boolean, t is true, no is false, t is number, t is integer, 1.0 is integer
d is mapping, l is mapping, l is iterable, s is iterable, n is iterable, l is sequence, d is sequence, nil is sequence, d.items() is sequence, d.items() is iterable, range is callable, s is callable, s.upper is callable, missing is iterable
3 is odd, 4 is even, 9 is divisibleby 3, 9 is divisibleby(2), 3 is in [1, 3], 3 is in l, 'a' is eq 'a', 1 is ne 2, 1 is lt 2, 2 is ge(2), 1 is equalto 1, 2 is greaterthan 1, none is sameas none, true is sameas true, l is sameas l, 1 is not eq 1
'abc' is lower, 'ABC' is upper, 'upper' is filter, 'nope' is filter, 'odd' is test, 'zip' is test, '' is lower, 'a1' is lower, s is not none
'a' is odd
n is not defined, not n is defined, n is defined and s is defined, (n is defined) ~ 1, n is eq 7 and t
range(5)|list, range(2, 8, 3)|list, range(5, 0, -2)|list, range(0)|list, range(3), range(1, 9, 2), range(5)[2], range(5)[-1], range(9)|sum
range(0, 10, 0)
range(100001)
range('a')
range(1.5)
dict(a=1, b=2), dict({'x': 1}, y=2), dict([('a', 1), ('b', 2)]), dict(), dict(d, b=9).b
dict([1])
dict.fromkeys(['a', 'b'], 1), dict.fromkeys('ab')
namespace(a=1).a, namespace().zz, namespace({'k': 2}).k
raise_exception('stop ' ~ n)
n|nosuchfilter
n is nosuchtest
items, d.items is callable, d['items'] is callable, {'items': 3}.items is callable, {'items': 3}['items']
s.__class__.__mro__
s['__class__'].x
''.__class__.__base__.__subclasses__()
(s|attr('upper'))(), d|attr('b'), d|attr('zz')|default('D')
u[0] ~ u[1], u|length, u.split(','), u|list|length, u|upper, u|first
'abc'|map('upper')|join, 'abc'|select('in', 'ac')|list, d|map('upper')|list
big + 1, big * 2, -big, big / 3, big // 10, big % 1000, big == 9007199254740992.0, big > 9007199254740992.0
(1 if t else 2) + 1, [x for_ in l]
l.0, d.a.1.x, (1, 2).1
1 +
(1
[1, 2
{1: }
'abc
1 2
a b
*l
f(a=1, 2)
@
loop
{**d}
""".strip("\n").split("\n")

STMT = r"""
{% if n == 7 %}A{% elif n == 8 %}B{% else %}C{% endif %}{% if no %}x{% elif t %}y{% endif %}
{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}
{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}
{% for x in el %}a{% else %}none{% endfor %}{% for x in missing %}a{% else %}undef{% endfor %}
{% for x in nil %}a{% endfor %}
{% for x in 5 %}a{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in u %}[{{ c }}]{% endfor %}
{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }};{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ loop.last }} {% else %}no{% endfor %}{% for x in l if x > 9 %}a{% else %}empty{% endfor %}
{% for x in range(10) if x is odd %}{{ x }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.revindex }};{% endfor %}
{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% for y in w %}{% if y == 'Apple' %}{% break %}{% endif %}{{ loop.index }}{{ y }}{% endfor %}{{ loop.index }}{{ x }}{% endfor %}
{% break %}
{% macro m() %}{% continue %}{% endmacro %}
{% for x in [[1, [2, 3]], [4]] recursive %}{% if x is number %}{{ x }}{{ loop.depth }}{% else %}[{{ loop(x) }}]{% endif %}{% endfor %}
{% for x in l %}{{ loop(x) }}{% endfor %}
{% set x = 1 %}{% for i in l %}{{ x }}{% set x = i %}{{ x }};{% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}{% if ns.b is not defined %}u{% endif %}
{% set q.a = 1 %}
{% set d.b = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}{{ ns }}
{{ namespace(_a=1) }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a, b = b, a %}{{ a }}{{ b }}{% set (c, e2) = [5, 6] %}{{ c }}{{ e2 }}{% set t2 = 1, 2 %}{{ t2 }}
{% set a, b = 1 %}
{% set x %}in {{ n }}{% set y = 2 %}{% endset %}{{ x }}|{{ y }}|{{ x|length }}
{% set x | upper | replace('A', 'b') %}aAa{% endset %}{{ x }}
{% if t %}{% set x = 5 %}{% endif %}{{ x }}{% if no %}{% set s = 1 %}{% endif %}{{ s }}
{% set 1 = 2 %}
{% set x %}unfinished
{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(c=5, a=4) }}|{{ m() }}|{{ m(1, c=n) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=1) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}{{ m() }}{{ m.name }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(3) }}
{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}
{% set g = 1 %}{% macro m() %}{{ g }}{% set g = 9 %}{{ g }}{% endmacro %}{{ m() }}{% set g = 2 %}{{ m() }}{{ g }}
{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call box('b') %}in {{ n }}{% endcall %}
{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(x, i) each(l) %}{{ i }}:{{ x }},{% endcall %}
{% macro m() %}{{ caller is defined }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ m() }}{% call m() %}y{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m('a')|upper }}{{ m('b') ~ m('c') }}{{ m(m('d')) }}{{ w|map('upper')|map('lower')|join }}
{% macro m(a, b, a) %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m(*a) %}{% endmacro %}
{% macro m(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, *[5]) }}
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b')|title %}aa ca{% endfilter %}
{% with a = 1, b = n %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}{% with %}x{% endwith %}{% with a=1 %}{% with b=a %}{{ b }}{% endwith %}{% endwith %}
{% generation %}text {{ n }}{% set q = 1 %}{% endgeneration %}{{ q }}
{% raw %}{{ not }} {% this %} {# nor #}{% endraw %}|{%- raw -%}  x  {%- endraw -%} y
{% raw %}unfinished
a{# comment {{ n }} {% if %} #}b{#- x -#} c{# multi
line #}d
a{# unfinished
{% print n, s %}{% print(n) %}
{{ joiner('|') is defined }}{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{% if n %}
{% for x in l %}
{% endif %}
{% endfor %}
{% else %}
{% if %}x{% endif %}
{% %}
{% nosuch %}
{{ }}
{{ n
{{ n }
{% if n }}
}} %} #} {n} { { {% if t %}}{% endif %}
{{ {'a': {'b': 1}}.a.b }}{{ {'a': 1}}}{{ [{'x': (1)}] }}
{% set x = [] %}{% set x = x + [1] %}{% for i in l %}{% set x = x + [i] %}{% endfor %}{{ x }}
{% set ns = namespace(l=[]) %}{% for i in l %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}{{ ns.l|sum }}
{% for x in l %}{% if loop.first %}{% set y = x %}{% endif %}{{ y is defined }}{% endfor %}{{ y is defined }}
{% for loop in l %}{% endfor %}
{% for x in p|selectattr('k', 'eq', 'x') %}{{ x.v }}{% if not loop.last %}, {% endif %}{% endfor %}
{% set m = p|selectattr('k', 'eq', 'zz') %}{% if m %}truthy{% endif %}{% if m|list %}a{% else %}b{% endif %}
{% set m = l|select('odd') %}{{ m|list }}{{ m|list }}{{ 3 in (l|map('int')) }}
{% set m = l|map('string') %}{{ m|first }}{{ m|first }}{{ m|join }}
{% set m = l|select %}{{ m|length }}
{% set ns = namespace(done=false) %}{% for x in range(5) if not ns.done %}{{ x }}{% if x == 2 %}{% set ns.done = true %}{% endif %}{% endfor %}
{% for x in l %}{% set outer = loop %}{% for y in w %}{{ outer.index }}{{ loop.index }}{% endfor %};{% endfor %}
{% if missing %}a{% endif %}{% if missing is defined and missing.x %}b{% endif %}{{ missing }}{{ missing ~ 'x' }}{{ missing == missing2 }}{{ missing == none }}
{{ nil }}{{ t }}{{ no }}{{ f }}{{ l }}{{ d }}{{ u }}{{ [u, s] }}{{ nil ~ t }}
{%- if n -%} x {%- endif -%}  y
{% if t and (n > 3 or s) and not no %}ok{% endif %}{% if not (t and no) == true %}ok2{% endif %}{% if l|length > 2 and l[0] == 3 %}ok3{% endif %}
{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }} {% else %}-{% endfor %}{% endfor %}
{% set x = 'a' %}{% for i in range(3) %}{% set x = x ~ i %}{{ x }},{% endfor %}{{ x }}
{% block a %}x{% endblock %}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% do l.append(1) %}
{% trans %}x{% endtrans %}
{% autoescape true %}{{ '<' }}{% endautoescape %}
{{ lipsum }}
{{ self }}
{{ cycler.__init__.__globals__ }}
{{ joiner.__init__.__globals__.os.popen('id').read() }}
{{ namespace.__class__.__mro__[1].__subclasses__() }}
{{ (s|attr('__class__')).x }}
{{ l|map(attribute='__class__')|map(attribute='__mro__')|list }}
{{ '{0.__class__.__mro__}'.format(s) }}
{{ s['__cla' ~ 'ss__']['__mro__'] }}
{{ dict.__init__.__globals__ }}
{{ raise_exception.__globals__ }}
{{ range.__self__.x }}
{% for x in l %}{{ loop.__class__.x }}{% endfor %}
{% macro m() %}{% endmacro %}{{ m.__globals__.x }}
""".strip("\n")

# What Jinja2 can do and Loam refuses.
REFUSED = re.compile(r"\{% (block|autoescape) |\{\{ lipsum \}\}|self|exception.__globals__")


# Statement cases are one a line, but for a line that does not begin one.
def statements(text):
    out = []
    for line in text.split("\n"):
        if out and line == "line #}d":
            out[-1] += "\n" + line
        else:
            out.append(line)
    return out


def whitespace():
    left, right = ["{%", "{%-", "{%+"], ["%}", "-%}", "+%}"]
    for a, b in itertools.product(left, right):
        yield f"x\n  {a} if t {b}\n  in  \n  {a} endif {b}\n  y\n"
        yield f"x {a} if t {b} in {a} endif {b} y\n\n"
        yield f"  {a} set q = 1 {b}  \n\t{a} for i in l {b} {{{{ i }}}}\n {a} endfor {b}\nend"
        yield f"\n\n{a} raw {b}\n  {{{{ r }}}}\n  {a} endraw {b}\n z" if b != "+%}" else f"{a} if t {b}\n\n{a} endif {b}\n"
    for a, b in itertools.product(["{{", "{{-"], ["}}", "-}}"]):
        yield f"x\n  {a} n {b}\n  y {a} s {b} z\n"
    for a, b in itertools.product(["{#", "{#-", "{#+"], ["#}", "-#}", "+#}"]):
        yield f"x\n  {a} c {b}\n  y {a} c {b} z\n{a}c{b}\n"
    yield from ["{{ 'new\\\nline' }}", "a\r\nb\rc\n", "a\n\n", "\n", "", "{% if t %}\r\nx\r\n{% endif %}\r\n", "x{% if t %}\n\n y{% endif %}\n", "\u3000{%- if t -%}\u00a0z{% endif %}",
                "{{ n }}\n{{ n }}\n", "  {{ n }}  ", "{% if t %}{% endif %}\n{% if t %}{% endif %}\n", "a {#- -#} b", "{#-#}", "{%-if t-%}a{%-endif-%}"]


# Templates in the manner of the families: their tags and logic, our own words.
STYLE = {
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "inst": "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set sys = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set sys = false %}{% endif %}{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}{% if loop.index0 == 0 and sys != false %}{% set c = '<<SYS>>\n' + sys + '\n<</SYS>>\n\n' + m['content'] %}{% else %}{% set c = m['content'] %}{% endif %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + c.strip() + ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + c.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "header": "{{- bos_token }}\n{%- set date = date if date is defined else '1 Jan 2025' %}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set sys = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set sys = '' %}\n{%- endif %}\n{{- '<|start|>system<|end|>\\n\\n' }}\n{%- if tools is defined and tools is not none %}\n    {{- 'Tools:\\n' }}\n    {%- for t in tools %}\n        {{- t | tojson(indent=4) }}\n        {{- '\\n\\n' }}\n    {%- endfor %}\n{%- endif %}\n{{- date + sys }}\n{%- for m in messages %}\n    {%- if 'tool_calls' in m %}\n        {%- if not m.tool_calls|length == 1 %}\n            {{- raise_exception('one call only') }}\n        {%- endif %}\n        {%- set call = m.tool_calls[0].function %}\n        {{- '{\"name\": \"' + call.name + '\", \"parameters\": ' }}\n        {{- call.arguments | tojson }}\n        {{- '}' }}\n    {%- elif m.role == 'tool' or m.role == 'ipython' %}\n        {%- if m.content is mapping or (m.content is iterable and m.content is not string) %}\n            {{- m.content | tojson }}\n        {%- else %}\n            {{- m.content }}\n        {%- endif %}\n    {%- else %}\n        {{- '<|start|>' + m['role'] + '<|end|>\\n\\n' + m['content'] | trim }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start|>assistant<|end|>\\n\\n' }}\n{%- endif %}\n",
    "think": "{%- set ns = namespace(more=true, last=messages|length - 1) %}\n{%- for m in messages[::-1] %}\n    {%- set i = (messages|length - 1) - loop.index0 %}\n    {%- if ns.more and m.role == 'user' and m.content is string and not(m.content.startswith('<r>') and m.content.endswith('</r>')) %}\n        {%- set ns.more = false %}\n        {%- set ns.last = i %}\n    {%- endif %}\n{%- endfor %}\n{%- for m in messages %}\n    {%- set content = m.content if m.content is string else '' %}\n    {%- if m.role == 'assistant' %}\n        {%- set why = '' %}\n        {%- if m.reasoning_content is string %}\n            {%- set why = m.reasoning_content %}\n        {%- elif '</think>' in content %}\n            {%- set why = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\n            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n        {%- endif %}\n        {%- if loop.index0 > ns.last and (loop.last or why) %}\n            {{- '<a>\\n<think>\\n' + why.strip('\\n') + '\\n</think>\\n\\n' + content }}\n        {%- else %}\n            {{- '<a>' + content }}\n        {%- endif %}\n        {%- for tc in m.tool_calls or [] %}\n            {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}\n            {%- set tc = tc.function if tc.function else tc %}\n            {{- tc.name ~ ':' }}{{ tc.arguments if tc.arguments is string else tc.arguments | tojson }}\n        {%- endfor %}\n    {%- elif m.role == 'tool' %}\n        {%- if loop.first or (messages[loop.index0 - 1].role != 'tool') %}{{- '<t>' }}{%- endif %}\n        {{- m.content }}\n        {%- if loop.last or (messages[loop.index0 + 1].role != 'tool') %}{{- '</t>\\n' }}{%- endif %}\n    {%- else %}\n        {{- '<' + m.role[0] + '>' + content + '\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<a>' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think></think>' }}{%- endif %}\n{%- endif %}",
    "turns": "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n    {%- if messages[0]['content'] is string -%}\n        {%- set pre = messages[0]['content'] + '\n\n' -%}\n    {%- else -%}\n        {%- set pre = messages[0]['content'][0]['text'] + '\n\n' -%}\n    {%- endif -%}\n    {%- set all = messages[1:] -%}\n{%- else -%}\n    {%- set pre = '' -%}\n    {%- set all = messages -%}\n{%- endif -%}\n{%- for m in all -%}\n    {%- set role = 'model' if m['role'] == 'assistant' else m['role'] -%}\n    {{ '<turn>' + role + '\n' + (pre if loop.first else '') }}\n    {%- if m['content'] is string -%}\n        {{ m['content'] | trim }}\n    {%- elif m['content'] is iterable -%}\n        {%- for part in m['content'] -%}\n            {%- if part['type'] == 'image' -%}<img>{%- elif part['type'] == 'text' -%}{{ part['text'] | trim }}{%- endif -%}\n        {%- endfor -%}\n    {%- else -%}\n        {{ raise_exception('bad content') }}\n    {%- endif -%}\n    {{ '<end>\n' }}\n{%- endfor -%}\n{%- if add_generation_prompt -%}{{ '<turn>model\n' }}{%- endif -%}\n",
    "schema": "{% macro kind(t) -%}\n{%- set map = {'string': 'str', 'integer': 'int', 'number': 'float'} -%}\n{%- if t.type is string and map[t.type] is defined %}{{ map[t.type] }}\n{%- elif t.type == 'array' %}{{ 'list[' + kind(t['items']) + ']' }}\n{%- elif t.type == 'object' %}{{ 'dict[' + (t.properties | default({}) | items | map(attribute='0') | join('/')) + ']' }}\n{%- else %}Any\n{%- endif %}\n{%- endmacro -%}\n{% for t in tools or [] %}{% set f = t.function %}def {{ f.name }}({% for k, p in f.parameters.properties.items() %}{{ k }}: {{ kind(p) }}{{ ' = None' if k not in f.parameters.required }}{{ ', ' if not loop.last }}{% endfor %}):\n    {{ f.description | indent(4) }}\n{% endfor %}",
    "counted": "{%- set ns = namespace(first=true, out='', i=0) -%}{%- for m in messages if m.role != 'system' -%}{%- set ns.i = ns.i + 1 -%}{%- if m.role == 'assistant' and m.tool_calls -%}{%- for c in m.tool_calls -%}{%- if ns.first -%}{{ '<calls>' + c['function']['name'] }}{%- set ns.first = false -%}{%- else -%}{{ '\\n' + c['function']['name'] }}{%- endif -%}{%- endfor -%}{%- else -%}{%- set ns.out = ns.out ~ (m.content or '') -%}{%- endif -%}{%- endfor -%}{{ ns.i }}|{{ ns.out }}|{{ messages | selectattr('role', 'equalto', 'user') | list | length }}|{{ (messages | last).role }}",
}
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks <at> a \"room\".\nSlowly.", "parameters": {"type": "object", "properties": {"room": {"type": "string"}, "times": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["room"]}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"room": "Küche", "times": 2}}}]}
TALKS = [
    [{"role": "user", "content": " Hello "}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}, {"role": "user", "content": "c 🙂"}],
    [{"role": "user", "content": "look"}, CALL, {"role": "tool", "content": "a room"}, {"role": "tool", "content": "dark"}, {"role": "assistant", "content": "done", "reasoning_content": "ok"}],
    [{"role": "assistant", "content": "odd"}, {"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "image"}]}],
    [],
]


def main():
    cases = []
    todo = [("{{ " + x + " }}", V) for x in EXPR] + [(x, V) for x in statements(STMT)] + [(x, V) for x in whitespace()]
    for name, text in STYLE.items():
        for i, talk in enumerate(TALKS):
            todo.append((text, {"messages": talk, "tools": [TOOL] if i % 2 else None, "add_generation_prompt": i < 3, "enable_thinking": i != 2, "bos_token": "<s>", "eos_token": "</s>"}))
    variables = [V]
    for template, v in todo:
        try:
            text = chat_template_utils._compile_jinja_template(template).render(**json.loads(json.dumps(v)))
        except Exception:
            text = None
        if text is not None and (" at 0x" in text or REFUSED.search(template)):
            text = None  # Jinja2 prints an address or reaches what Loam does not offer: an error here
        if v not in variables:
            variables.append(v)
        cases.append([template, variables.index(v), text])
    with open("test/golden/jinja/cases.json", "w", encoding="utf-8") as f:
        f.write('{"variables": [\n' + ",\n".join(json.dumps(v, ensure_ascii=False) for v in variables) + '\n],\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    print(len(cases), "cases,", sum(c[2] is None for c in cases), "errors")


main()
