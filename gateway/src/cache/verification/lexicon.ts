/**
 * Small word lists that say what vectors do not: an embedding has opposites and siblings ("minimum" and "maximum", "Monday" and
 * "Friday") as near to each other as synonyms. Words are as `canonical` leaves them; `_` joins the words of a phrase that is one word here.
 */

/** Words that ask for the same, one set a line. */
const SYNONYMS = `
big large huge great
biggest largest greatest
small little tiny
smallest littlest tiniest
fast quick rapid speedy
fastest quickest
delete remove erase
buy purchase
begin start commence
end finish
stop halt
film movie
car automobile
picture photo photograph image pic
phone telephone
mobile cellphone smartphone
holiday vacation
flat apartment
shop store
fix repair mend resolve solve
error bug issue problem
get obtain receive
need require
show display
make create build
choose select pick
modify change edit alter
search find look_up locate
allow permit
answer reply respond
ask inquire enquire
attach append
author writer
average mean
bill invoice
bike bicycle
boss manager
child kid
clever smart intelligent
close shut
cheap inexpensive affordable
cheapest least_expensive
costly expensive pricey
cost price
correct right
couch sofa
currently now presently
cv resume
difficult hard tough
directory folder
doctor physician
drug medicine medication
earth globe
easy simple
email mail
employee worker
fee charge
film movie
flight plane
fridge refrigerator
fun enjoyable
function method
garbage rubbish trash
gift present
happen occur
happy glad
help assist aid
house home
idea suggestion tip
important significant
inside within
job occupation
join merge combine
large big
letter character
list array
lorry truck
mad angry
meaning definition
mother mom mum
father dad
near close_to nearby
new brand_new
nice kind
normal regular
number count
often frequently
old aged
option choice
parcel package
part piece
password passcode
pay settle
person people human
petrol gas gasoline
pick choose
place location
popular common
pull drag
queue line
quit exit
random arbitrary
reason cause
refund reimburse money_back
return send_back
rich wealthy
road street
sad unhappy
safe secure
say tell
seller vendor
send ship deliver
shipping delivery
shipment delivery
sick ill
sign_in log_in login signin logon log_on
sign_up register signup
sign_out log_out logout signout
soccer football
speak talk
strange weird odd
string text
subscription membership
take_off depart
teacher instructor
tax duty
terminate end
test check verify
tired sleepy
tool utility
town city
translate render
trip journey
tube subway underground metro
tv television
type kind
update upgrade
use utilize
user customer
value worth
walk stroll
want wish
warranty guarantee
way method
website site webpage
weight mass
whole entire
wife spouse
win prevail
world earth
wrong incorrect
usa us america united_states
uk britain united_kingdom
percent percentage
kilometer km
meter m
centimeter cm
millimeter mm
kilogram kg kilo
gram g
mile mi
pound lb lbs
foot ft feet
inch in
hour h hr hrs
minute min mins
second sec secs
celsius centigrade
fahrenheit f
gigabyte gb
megabyte mb
dollar usd buck
euro eur
yen jpy
javascript js
typescript ts
python py
postgresql postgres
kubernetes k8s
database db
application app
repository repo
parameter argument arg param
variable var
integer int
boolean bool
regex regexp regular_expression
dictionary dict hashmap
maximum max
minimum min
approximate roughly approximately
`;

/** Words that ask for the opposite or for another thing, in pairs. */
const OPPOSITES = `
add remove; add delete; add subtract; increase decrease; increase reduce; increase lower; raise lower; enable disable; activate deactivate; open close;
on off; up down; in out; into from; import export; upload download; encode decode; encrypt decrypt; compress decompress; zip unzip; push pull; push pop;
start stop; start end; begin end; first last; oldest newest; old new; oldest youngest; older younger; older newer; earliest latest; early late; before after; past future;
min max; minimum maximum; least most; less more; fewer more; smallest largest; smallest biggest; small large; small big; shortest longest; shortest tallest; short long; short tall; shorter longer;
low high; lowest highest; lower higher; lower upper; lowercase uppercase; best worst; good bad; better worse; cheap expensive; cheapest expensive; cheapest priciest; fast slow; fastest slowest; faster slower;
hot cold; hottest coldest; hotter colder; warm cool; warmest coldest; wet dry; wettest driest; hard easy; hard soft; hardest easiest; hardest softest; heavy light; heaviest lightest; rich poor; richest poorest; strong weak; strongest weakest;
ascending descending; forward backward; forward reverse; left right; top bottom; front back; inner outer; inside outside; internal external; north south; east west; northern southern; eastern western; 
buy sell; send receive; lend borrow; give take; gain lose; win lose; pass fail; accept reject; accept decline; approve deny; allow block; allow deny; grant revoke; block unblock; lock unlock; mute unmute; subscribe unsubscribe; follow unfollow; install uninstall;
show hide; include exclude; including excluding; with without; true false; yes no; positive negative; even odd; odd even; plus minus; multiply divide; sum difference; sum product; add multiply; numerator denominator; integer float; integer string; signed unsigned; public private; static dynamic; local global; local remote; client server; input output; read write; get set; get post; save load; encode parse; serialize deserialize; sync async; synchronous asynchronous; mutable immutable; 
birth death; born die; born dead; alive dead; live die; male female; man woman; men women; boy girl; son daughter; brother sister; husband wife; mother father; mom dad; king queen; prince princess; uncle aunt; adult child; parent child; teacher student; doctor patient; employer employee; landlord tenant; buyer seller; winner loser; author publisher; 
arrive depart; arrival departure; arrive leave; departing arriving; check-in check-out; checkin checkout; sunrise sunset; morning evening; day night; daytime nighttime; summer winter; spring autumn; am pm; indoor outdoor; 
love hate; like dislike; happy sad; formal informal; formal casual; funny serious; pro con; pros cons; advantage disadvantage; benefit drawback; benefit risk; strength weakness; cause effect; cause symptom; cause treatment; symptom treatment; prevent cause; prevent treat; 
acid base; metal nonmetal; solid liquid; liquid gas; proton electron; concave convex; sine cosine; rows columns; row column; horizontal vertical; width height; length width; area perimeter; area volume; radius diameter; mean median; median mode; derivative integral; prime composite; simple compound; gross net; credit debit; income expense; asset liability; profit loss; revenue profit; inflation deflation; stock bond; interest principal; 
single married; marriage divorce; single double; monthly yearly; monthly annual; weekly monthly; daily weekly; daily monthly; hourly daily; temporary permanent; domestic international; national international; one-way return; refund exchange; refund replacement; return exchange; cancel renew; cancel confirm; cancel postpone; upgrade downgrade; deposit withdraw; deposit withdrawal; pay refund; shipping billing; shipping return; prepaid postpaid; 
always never; all none; all some; every any; both either; same different; similar different; full empty; full part; fresh frozen; raw cooked; vegan vegetarian; safe dangerous; healthy unhealthy; legal illegal; possible impossible; common rare; ancient modern; deep shallow; deepest shallowest; wide narrow; thick thin; near far; nearest farthest; closest farthest; 
yesterday today; today tomorrow; yesterday tomorrow; last next; previous next; previous current; current next; last this; next this; current former; current last; now then; today tonight; today now; tonight tomorrow; 
overdose underdose; hyper hypo; hypertension hypotension; hyperthyroidism hypothyroidism; type1 type2; acute chronic; viral bacterial; systolic diastolic; oral topical; breastfeeding pregnant; 
merge rebase; commit push; fetch pull; clone fork; stash commit; reset revert; staged unstaged; tracked untracked; inner left; left outer; horizontal diagonal; union intersect; union intersection; append prepend; insert delete; insert update; update delete; create drop; create delete; sort shuffle; map filter; encode decode; stack queue; array object; list set; list tuple; list dictionary; tuple set; class function; function class; thread process; compile run; debug release; unit integration; frontend backend; margin padding; row flex; grid flex; hover focus; bold italic;
who when; who where; who why; when where; when why; where why; how why; who what; 
`;

/** Things of one kind: another of the same kind is another question. One kind a line. */
const KINDS = `
january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday weekday weekend
second minute hour day week month quarter year decade century millisecond fortnight
yesterday today tomorrow tonight now
morning afternoon evening night noon midnight
red orange yellow green blue purple violet pink brown black white gray silver gold beige turquoise
english german french spanish italian portuguese dutch swedish norwegian danish finnish polish czech hungarian russian ukrainian greek turkish arabic hebrew hindi urdu bengali tamil chinese mandarin cantonese japanese korean vietnamese thai indonesian malay latin swahili irish welsh catalan basque romanian bulgarian serbian croatian slovak slovenian icelandic persian farsi tagalog zulu afrikaans esperanto estonian latvian lithuanian albanian
germany france spain italy portugal netherlands belgium switzerland austria sweden norway denmark finland poland czechia hungary russia ukraine greece turkey egypt morocco nigeria kenya ethiopia ghana china japan korea india pakistan bangladesh vietnam thailand indonesia malaysia singapore philippines australia canada mexico brazil argentina chile peru colombia venezuela bolivia ecuador uruguay paraguay cuba jamaica ireland scotland wales england britain uk usa israel iran iraq syria jordan lebanon qatar dubai kuwait iceland croatia serbia slovenia slovakia romania bulgaria albania estonia latvia lithuania belarus georgia armenia kazakhstan mongolia nepal taiwan tanzania uganda zambia zimbabwe senegal algeria tunisia luxembourg malta cyprus monaco andorra laos cambodia fiji
africa asia europe america antarctica oceania
london paris berlin munich hamburg frankfurt cologne madrid barcelona seville rome milan naples florence venice lisbon porto amsterdam rotterdam brussels antwerp zurich geneva basel bern vienna salzburg stockholm gothenburg oslo bergen copenhagen helsinki warsaw krakow prague brno budapest moscow kyiv athens istanbul ankara cairo casablanca lagos nairobi johannesburg tokyo osaka kyoto seoul busan beijing shanghai shenzhen delhi mumbai bangalore chennai kolkata karachi lahore dhaka bangkok hanoi jakarta manila sydney melbourne brisbane perth auckland wellington toronto montreal vancouver ottawa calgary boston chicago seattle denver dallas houston austin miami atlanta philadelphia detroit phoenix portland nashville orlando baltimore dublin cork edinburgh glasgow manchester liverpool birmingham leeds bristol oxford cambridge lima bogota santiago caracas quito havana rio
texas california florida ohio nevada oregon arizona utah colorado montana virginia georgia michigan illinois massachusetts washington alaska hawaii
python java javascript typescript ruby rust go golang swift kotlin scala perl php haskell erlang elixir clojure lua julia matlab fortran cobol c c++ c# r dart bash powershell sql groovy
react vue angular svelte ember jquery next nuxt
django flask fastapi rails laravel spring express
mysql postgresql sqlite oracle mongodb redis cassandra mariadb elasticsearch dynamodb
numpy pandas scipy pytorch tensorflow keras sklearn matplotlib
linux windows macos ubuntu debian fedora android ios centos
docker podman kubernetes helm terraform ansible vagrant
git svn mercurial
aws azure gcp
npm yarn pnpm pip conda cargo maven gradle
json xml yaml csv toml html pdf markdown excel word
png jpg jpeg gif webp svg mp3 mp4 wav avi
http https ftp ssh smtp tcp udp
vim emacs vscode nano
chrome firefox safari edge opera
get post put patch delete head
map filter reduce foreach sort slice splice concat
int float double long short char string boolean decimal integer byte
list tuple set dictionary array stack queue tree graph heap vector
class function method module package variable constant
for while do
meter kilometer centimeter millimeter inch foot yard mile nautical
gram kilogram milligram ton ounce pound stone
liter milliliter gallon pint quart cup tablespoon teaspoon
celsius fahrenheit kelvin
acre hectare
watt kilowatt joule calorie volt ampere
byte kilobyte megabyte gigabyte terabyte bit
dollar euro pound yen franc yuan rupee peso won krona krone lira real ruble zloty bitcoin ethereum
sum difference product quotient remainder average median mode variance
square cube triangle circle rectangle sphere cylinder cone pyramid pentagon hexagon octagon trapezoid
sine cosine tangent sin cos tan
half third quarter double triple twice
addition subtraction multiplication division
mother father brother sister son daughter uncle aunt cousin grandmother grandfather wife husband niece nephew girlfriend boyfriend friend boss
dog cat horse cow pig sheep goat chicken duck rabbit hamster parrot fish snake turtle puppy kitten
lion tiger elephant giraffe bear wolf fox whale shark dolphin penguin pelican kangaroo koala panda zebra
apple banana orange pear grape cherry strawberry lemon lime mango pineapple peach plum kiwi
rice pasta bread potato noodle
chicken beef pork lamb fish turkey tofu shrimp salmon tuna
milk butter cheese cream yogurt egg
coffee tea beer wine juice water milk soda
breakfast lunch dinner brunch
ibuprofen paracetamol acetaminophen aspirin naproxen tylenol advil amoxicillin penicillin metformin lisinopril atorvastatin warfarin insulin omeprazole sertraline prednisone azithromycin doxycycline
adult child infant baby toddler teenager teen kid newborn elderly senior pregnant man woman
head neck shoulder arm elbow wrist hand finger hip knee ankle foot toe chest stomach back ear eye nose throat tooth
flu cold fever cough measles mumps covid asthma diabetes cancer migraine anemia pneumonia bronchitis
heart liver kidney lung brain stomach pancreas
mercury venus earth mars jupiter saturn uranus neptune pluto moon sun
oxygen hydrogen nitrogen carbon helium iron copper gold silver zinc lead sodium potassium calcium neon
mountain river lake desert ocean sea island volcano forest valley
capital population area currency language flag president religion anthem
height width depth length weight size age volume distance speed
price size color weight cost time date number name address
phone email address fax website
football basketball baseball tennis cricket rugby golf hockey volleyball badminton
guitar piano violin drum flute cello trumpet saxophone
poem story song joke essay haiku limerick letter speech email toast
birthday wedding christmas easter halloween anniversary graduation retirement funeral
visa mastercard amex paypal
facebook instagram twitter tiktok snapchat linkedin whatsapp telegram youtube reddit
iphone ipad macbook imac
netflix hulu disney spotify
google amazon microsoft apple samsung sony lg
toyota honda ford tesla bmw audi
username password pin email
refund return exchange replacement cancellation
gift credit debit loyalty
monthly yearly weekly daily annual annually quarterly hourly
first second third fourth fifth sixth seventh eighth ninth tenth last
author director actor singer composer painter inventor founder publisher translator producer illustrator president minister king queen emperor
write translate publish direct compose paint invent discover
summarize translate explain rewrite correct proofread shorten
verb noun adjective adverb pronoun
singular plural
past present future
north south east west
train bus plane ferry tram taxi flight
car motorcycle bicycle truck scooter
rain snow wind sunny humidity temperature storm fog pollen
nasdaq dow nikkei dax ftse
open close
how_many how_much how_long how_old how_far how_tall how_big how_often how_fast how_deep how_heavy how_high how_wide
who when where why
`;

/** The sets of synonyms that a word is in, by number. */
export const SYNONYMS_OF: ReadonlyMap<string, readonly number[]> = setsOf(lines(SYNONYMS));

/** The kinds that a word is one of, by number. */
export const KINDS_OF: ReadonlyMap<string, readonly number[]> = setsOf(lines(KINDS));

/** Pairs of opposites, both ways, as `one other`. */
export const OPPOSITES_OF: ReadonlySet<string> = new Set(
  OPPOSITES.split(';')
    .map((pair) => pair.trim().split(/\s+/))
    .filter((pair) => pair.length === 2)
    .flatMap(([one, other]) => [`${one} ${other}`, `${other} ${one}`]),
);

/** Whether two words are in a set together. */
export function share(sets: ReadonlyMap<string, readonly number[]>, one: string, other: string): boolean {
  const ofOther = sets.get(other);
  return ofOther !== undefined && (sets.get(one)?.some((set) => ofOther.includes(set)) ?? false);
}

function lines(list: string): string[][] {
  return list
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
}

function setsOf(sets: readonly (readonly string[])[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const [set, words] of sets.entries()) {
    for (const word of words) {
      const known = found.get(word);
      if (known === undefined) found.set(word, [set]);
      else known.push(set);
    }
  }
  return found;
}
