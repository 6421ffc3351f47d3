"""English sentences by a small grammar over a few hundred common words, to be spoken by a synthesiser."""

import re
import zlib

import numpy as np

_HELD_OUT = 10  # one sentence of so many, by its checksum

WORDS = {
    'person': 'mother father brother sister teacher doctor farmer child woman man boy girl baby friend captain king '
    'queen soldier driver student neighbour uncle aunt lawyer writer singer painter judge nurse pilot sailor stranger '
    'hunter baker guest visitor officer president daughter son husband wife cousin leader owner player worker',
    'thing': 'house garden table chair window door book letter picture river mountain road bridge boat ship train car '
    'tree flower bird horse dog cat cow sheep fish apple orange bread butter cheese milk water coffee tea sugar salt '
    'knife fork spoon plate cup bottle glass paper pencil box bag basket coat shirt suit dress shoe hat ring watch '
    'clock bell lamp candle fire stone wall floor roof kitchen bedroom school church market station hospital village '
    'town city country island beach forest field farm hill valley lake sea ocean sky moon sun star cloud wind rain '
    'snow storm summer winter morning evening night day week month year hour minute story song dance game ball toy '
    'machine engine wheel tool hammer nail rope wire metal gold silver iron wood cotton wool silk oil coal gas money '
    'price job office company shop store street corner square garage ticket map camera radio film stage planet rocket '
    'home world earth space place future journey travel plan idea question answer problem reason truth dream voice '
    'head hand face eye ear nose mouth tooth hair neck arm finger leg knee foot heart blood body skin bone',
    'stuff': 'weather music history science nature freedom trouble traffic news paint dust sand smoke grass leather '
    'rubber plastic medicine fruit meat rice soup cake chocolate pepper breakfast lunch dinner work sleep power light '
    'noise silence speech language health luck hope love fear anger joy peace war',
    'quality': 'old young new big small little great large long short high low tall wide narrow deep dark bright '
    'light heavy hot cold warm cool dry wet clean dirty empty full rich poor strong weak quick slow fast early '
    'late easy hard soft rough smooth sharp round flat straight thick thin fresh sweet bitter sour loud quiet happy '
    'sad angry tired hungry thirsty busy free safe dangerous kind cruel clever stupid brave shy proud strange common '
    'rare simple difficult true false right wrong good bad better best worse beautiful ugly pretty nice perfect red '
    'green blue yellow white black brown grey pink purple golden wooden broken open secret public private ancient '
    'modern foreign local national human wild gentle honest serious funny famous certain possible whole',
    'did': 'saw found lost took brought bought sold made built broke cut drew wrote read heard carried held kept left '
    'moved opened closed pushed pulled threw caught washed cleaned cooked ate drank gave sent showed hid watched '
    'followed helped called asked told loved liked hated wanted needed used changed fixed painted filled touched '
    'dropped lifted covered crossed climbed passed reached remembered forgot knew understood chose paid won had wore '
    'burned shook picked planted visited met missed stopped started finished joined met taught learned',
    'do': 'see find lose take bring buy sell make build break cut draw write read hear carry hold keep leave move open '
    'close push pull throw catch wash clean cook eat drink give send show hide watch follow help call ask tell love '
    'like hate want need use change fix paint fill touch drop lift cover cross climb pass reach remember forget know '
    'understand choose pay win have wear burn shake pick plant visit meet miss stop start finish join teach learn get '
    'think believe try wait speak walk run sit stand fall turn live die grow begin play sing swim fly sleep dream talk',
    'went': 'went came walked ran rode drove sailed flew jumped fell sat stood slept waited lived worked played sang '
    'danced swam talked laughed cried smiled shouted looked listened turned returned arrived stayed hurried rested '
    'grew died appeared travelled moved landed',
    'adverb': 'slowly quickly quietly loudly carefully easily suddenly finally always never often sometimes again '
    'together alone today yesterday soon now then here there everywhere really almost already still just only even '
    'perhaps maybe ever away back home outside inside once twice well badly',
    'place_word': 'in on at by near under over behind beside between through across into from toward around above '
    'below along past after before without with within against among beyond during until about',
    'number': 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty '
    'forty fifty hundred thousand million first second third half zero',
    'who': 'i you he she we they it everybody somebody nobody anyone someone',
    'whom': 'me you him her us them it this that something nothing everything',
    'the': 'the a my your his her our their this that every each some another no any',
    'auxiliary': 'can could will would should must may might did does do',
    'short': "don't can't won't didn't isn't wasn't couldn't wouldn't i'm you're he's she's it's we're they're i've "
    "we've i'll you'll we'll he'll she'll that's there's let's what's who's o'clock",
    'link': 'and but or because when while if since although so that than as',
    'ask': 'what when where why who how which whose',
    'be': 'is was are were be been being has have had am',
    'time': 'today|yesterday|tomorrow|last night|this morning|every day|all day|next week|last summer|'
    'a long time ago|in the evening|on monday|on tuesday|on wednesday|on thursday|on friday|on saturday|on sunday|'
    'in january|in march|in april|in june|in july|in august|in september|in october|in november|in december|again and '
    'again|after dinner|before breakfast|for many years|at seven|at noon|at night|right now|for the first time',
}
"""Common words by what they do in a sentence; times of day may have several words, parted by a bar."""

_LISTS = {name: words.split('|') if '|' in words else words.split() for name, words in WORDS.items()}
_ALL = sorted({word for name, words in _LISTS.items() if name != 'time' for word in words})
# In words, a capital letter is a rule below; `?` halves a part's chance.
_RULES = {
    'N': ['the person', 'the quality person', 'the thing', 'the quality thing', 'who', 'stuff', 'the quality quality '
          'thing', 'number thing', 'quality stuff', 'the person and the person'],
    'O': ['the thing', 'the quality thing', 'whom', 'stuff', 'the quality stuff', 'the person', 'number quality thing',
          'the thing of the person', 'the thing and the quality thing'],
    'P': ['place_word the thing', 'place_word the quality thing', 'place_word O', 'adverb'],
    'V': ['did O', 'went P', 'did O P', 'went P P', 'auxiliary do O', 'auxiliary not do O', 'auxiliary do O P',
          'was quality', 'be not quality', 'be adverb quality and quality', 'adverb did O', 'have been in the thing',
          'be place_word the thing', 'wanted to do O', 'be going to do O', 'had O P'],
    'S': ['N V', 'N V time', 'N V', 'ask auxiliary who do O', 'auxiliary who do O P', 'N V link N V', 'short do O',
          'short quality', 'do O P', 'time who did O', 'there be the quality thing P', 'who said that N V',
          'ask be the quality thing', 'it be number time', 'short the quality thing', 'N V P time'],
}  # fmt: skip


def sentence(random: np.random.Generator) -> str:
    """One sentence of the alphabet's letters; one of five is a row of words without a grammar."""
    if random.random() < 0.2:
        return ' '.join(random.choice(_ALL, random.integers(3, 9)))
    return ' '.join(_grow('S', random))


def sentences(count: int, *, seed: int, held_out: bool = False) -> list[str]:
    """Different sentences; those held out are never among the others, whatever the seed."""
    random, found = np.random.default_rng(seed), dict[str, None]()
    while len(found) < count:
        made = sentence(random)
        if held_out == (zlib.crc32(made.encode()) % _HELD_OUT == 0):
            found[made] = None
    return list(found)


def _grow(rule: str, random: np.random.Generator) -> list[str]:
    words = []
    for part in random.choice(_RULES[rule]).split():
        if part in _RULES:
            words += _grow(part, random)
        else:
            words.append(str(random.choice(_LISTS[part])) if part in _LISTS else part)
    return [word for word in re.split(' ', ' '.join(words)) if word]
