"""What two people tell each other: sixty-six things with values, in words that a later question mostly does not use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A thing to tell: the other person's opening, what is told, what may change later, and how it is asked for."""

    name: str
    opening: str
    told: str
    change: str  # empty where it stays as it is
    questions: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def both(self) -> str:
        """The question for what both have said."""
        return f"What did {{a}} and {{b}} each say about the {self.name}?"


PEOPLE = (
    "Amélie", "Björn", "Chidi", "Dana", "Emil", "Fatma", "Gábor", "Helga", "Ivan", "Jana", "Kofi", "Lena", "Mehmet", "Noor", "Oisín", "Paula",
    "Rafael", "Siobhán", "Tomasz", "Ulrike", "Viktor", "Wanda", "Yusuf", "Zoë",
)  # fmt: skip

_TOPICS = """
car | Did you get round to choosing a new car? | In the end I took the {v}, and it is not even paid off. | The mechanic gave up on it, so since Tuesday I have the {v} instead. | What vehicle does {who} drive? / Which car does {who} own now? | blue Skoda, old Volvo, red Fiat Panda, grey Prius, second-hand Dacia
pet | I heard scratching behind you, is that a pet? | That is {v}. Came from the shelter half asleep. | | What animal lives with {who}? / What kind of pet does {who} have? | a three-legged cat, a deaf spaniel, two ferrets, a one-eyed tortoise, a very fat rabbit
instrument | Are those music lessons still going on? | Every Thursday, and the neighbours hate the {v}. | I gave that up, my fingers are too slow. It is the {v} now. | Which instrument is {who} learning? / What does {who} play? | cello, trombone, accordion, oboe, bagpipes
diet | Shall I order lunch for both of us, any food you avoid? | Nothing with {v} for me, I would swell up like a balloon. | | What can {who} not eat? / Which food is {who} allergic to? | peanuts, shellfish, sesame, celery, kiwi
home town | Where did you grow up, actually? | In {v}, above a bakery. | | Which town is {who} from? / Where was the childhood of {who}? | Szeged, Galway, Enugu, Kuopio, Bari
sister | Does your sister still study? | She finished, and is {v} these days. | Forget what I told you about her work, she is {v} since last week. | What is the job of {who}'s sister? / How does the sister of {who} earn her money? | a beekeeper, a tax lawyer, a vet in the army, a stage designer, a pilot
brother | And what is your brother up to? | Moved to {v} with nothing but a tent. | He could not stand it there and went on to {v}. | In which place is {who}'s brother? / Where did the brother of {who} go? | Patagonia, Tromsø, Crete, Nairobi, Tasmania
holiday | Any plans for the summer holiday? | We booked {v}, all by train. | The booking fell through, so it will be {v}. | Where is {who} going in summer? / What travel plans has {who} for the holiday? | the Faroe Islands, Puglia, the Tatra mountains, Lake Ohrid, Brittany
birthday | When may we bring cake for your birthday? | You would have to wait for {v}. | | On which day was {who} born? / When does {who} turn a year older? | the third of March, the last of October, Epiphany, the ninth of July, midsummer's eve
coffee | Coffee as always? | Make it {v}, the doctor insists. | My stomach says no; from now on {v}. | What does {who} like to drink in the morning? / How does {who} take coffee? | decaf with oat milk, black and double, green tea, hot water with ginger, chicory
sport | You look tired, was it sport again? | {v} until midnight, my knees are gone. | I sold the gear, and have switched to {v}. | What sport does {who} do? / How does {who} keep fit? | Bouldering, Water polo, Fencing, Badminton, Roller derby
book | Is the book on your desk any good? | It is {v}, and I cry on every other page. | I left that one on the tram and have begun {v}. | What is {who} reading? / Which novel has {who} begun? | The Tin Drum, Middlemarch, Half of a Yellow Sun, Solaris, Season of Migration
film | Did you like the film on Friday? | We slept through {v}, both of us. | | Which movie did {who} see? / What was shown when {who} went to the cinema? | the one about the lighthouse, Toni Erdmann, the five-hour one from Hungary, a silent western, the shark musical
flat | How did the viewing of the flat go? | We signed. It is {v}, with a view of the gasworks. | The landlord backed out. We got {v} now. | What kind of home has {who} rented? / Where does {who} live after moving? | the attic in Mill Lane, two rooms by the harbour, the ground floor at number 90, a houseboat, the old post office
boss | How is the new boss? | {v} wants everything on paper, in two copies. | Already gone, the chair belongs to {v}. | Who is the superior of {who}? / Whom does {who} report to? | Mrs. Tanaka, Henrik Dahl, Dr. Osei, Signora Conti, old Mr. Pfeiffer
project | Which project did they give you? | {v}, the one that nobody wanted. | They moved me on, I am with {v} from Monday. | What is {who} working on? / Which assignment did {who} get? | the payroll migration, the tram timetable, the hospital portal, the warehouse robots, the census form
deadline | Is your deadline still realistic? | Everything must be out by {v}, or we pay. | We were granted more time, until {v}. | When does {who} have to deliver? / By which date must the work of {who} be done? | the twelfth, Whitsun, the end of the quarter, Black Friday, Ash Wednesday
laptop | What happened to your laptop? | {v} all over the keys. | | How was {who}'s computer ruined? / What damaged the machine of {who}? | Lentil soup, Red nail varnish, A whole can of cola, Cat litter, Wet plaster
password hint | How do you remember things like the door code? | I think of {v}. | | What helps {who} to remember a code? / Which trick does {who} use at the door? | my grandmother's house number, the goals of 1990, a tram line, the year of the flood, a knitting pattern
commute | How long is your commute now? | By {v}, an hour if nobody jumps. | They are digging up the road, so it is {v} until spring. | How does {who} get to work? / What does {who} take in the morning to the office? | ferry, the S2, folding bike, the night bus, the neighbour's van
colour | Which colour for your office wall? | {v}, and no discussion. | I slept over it. Make that {v}. | How should the wall of {who} be painted? / What paint did {who} choose? | Ochre, Petrol, Salmon, Bottle green, Lilac
phobia | Why did you leave the meeting so fast? | There was {v} on the ceiling. I cannot. | | What is {who} afraid of? / What scared {who} out of the room? | a moth, a balloon, a spider, a wet spot like a face, a loose cable
course | Which course did you sign up for? | {v}, eight evenings, bring your own apron. | Too few people. I was put into {v}. | What does {who} study in the evening? / Which class does {who} attend? | bookbinding, Thai cooking, sign language, welding, beer brewing
grandfather | Were you close to your grandfather? | Very. He taught me {v}. | | What did {who} learn from the grandfather? / Which skill was handed down to {who}? | to sharpen knives, card tricks, how to graft apple trees, Morse, to swim in cold water
doctor | What did the doctor say? | No {v} for six weeks. | I went again, and the ban is on {v} now. | What was forbidden to {who}? / What must {who} not do for reasons of health? | running, salt, screens after eight, lifting, flying
gift | Have you found a gift for the farewell? | I went for {v}, engraved. | They were sold out, it became {v}. | What did {who} buy as a present? / What will the leaving colleague get from {who}? | a fountain pen, a pocket knife, an hourglass, a compass, a corkscrew
garden | Does anything grow in your garden this year? | Only {v}, the slugs took the rest. | | What survived at {who}'s place? / Which plants did the slugs leave to {who}? | leeks, fennel, artichokes, rhubarb, sorrel
language | You mumbled something, which language was that? | {v}, I talk to my mother like that. | | What does {who} speak with the family? / What is the mother tongue of {who}? | Frisian, Tigrinya, Sorbian, Catalan, Hakka
first job | What was your first job? | I was {v}, for four marks an hour. | | How did {who} begin to earn money? / What work did {who} do when young? | washing hearses, selling programmes, plucking geese, a lift boy, painting buoys
desk | Why do you sit over there now? | They put me next to {v}, it is quieter. | And I moved again. You find me by {v}. | Where is the desk of {who}? / Next to what does {who} sit? | the printer, the fish tank, the fire door, accounting, the big ficus
conference | Are you speaking at the conference? | Yes, about {v}, twenty minutes. | The committee asked for something else, so it is {v}. | What is the talk of {who} about? / Which subject will {who} present? | dead letters, failed rollbacks, honest charts, queues in hospitals, names that break forms
hotel | Which hotel did they book for you? | The {v}, next to the motorway. | It had bedbugs. I am at the {v}. | Where is {who} staying? / In which house does {who} sleep on the trip? | Astoria, Zum Ochsen, Bellevue, Seventh Heaven, Grand Budget
train | Which train shall I meet you from? | I come with the one at {v}. | I missed that. I come at {v}. | When does {who} arrive? / At what time has somebody to fetch {who}? | 17:04, 08:51, 22:36, 12:12, 19:45
budget | How much budget have you got left? | {v}, and that has to do for the year. | Finance took some away, what remains is {v}. | What sum can {who} still spend? / How much money is left to {who}? | 4,200 euros, 11,900 euros, 780 euros, 26,000 euros, 1,350 euros
supplier | Have you decided on a supplier? | We go with {v}, the others never wrote back. | They went bankrupt, so {v} jumps in. | From whom will {who} buy? / Which company did {who} pick? | Lindqvist, Rossi & Figli, Nordkabel, Papeterie Blanc, Hanse Druck
tool | Which tool do you draw the plans with? | {v}, out of pure habit. | I have changed over to {v} and do not look back. | What does {who} use to sketch? / With what are the drawings of {who} made? | squared paper, Inkscape, a whiteboard, LEGO, wax crayons
bug | Did you find the cause of the bug? | It was {v}, after three days. | | Why did the program of {who} fail? / What made the trouble that {who} was hunting? | a leap year, a missing comma, daylight saving, an umlaut in a path, a full disk
interview | How did your interview go? | They asked me about {v}, of all things. | | What did they want to know from {who}? / What came up when {who} applied? | manhole covers, my zodiac sign, penguins, the smell of rain, my handwriting
salary | May I ask what they offered? | {v} a month, and a bike. | I haggled. It is {v} now. | How much will {who} earn? / What pay was {who} offered? | 3,900, 4,450, 5,100, 2,870, 6,020
charity | Which charity is your run for? | For {v}, as every year. | | Whom does {who} support by running? / Where do the donations of {who} go? | the sea rescue, a donkey home, the hospice, clean wells, the chess club for girls
neighbour | Why is your neighbour angry? | Because of {v} at six in the morning. | | What noise does {who} make? / What does the person next door hold against {who}? | my rooster, the blender, opera, the rowing machine, my hammering
tattoo | Is that a new tattoo? | {v}, but I was nineteen. | | What picture is on the skin of {who}? / What did {who} have inked? | An anchor, A semicolon, The map of Iceland, A carrot, Half a heart
recipe | Your soup was great, what is in it? | The secret is {v}. | | What gives {who}'s dish its taste? / Which ingredient does {who} swear by? | smoked plum, orange peel, a spoon of coffee, fish sauce, burnt onion
collection | Do you collect anything? | {v}, the cellar is full of them. | | What does {who} gather at home? / Which things fill the basement of {who}? | Beer mats, Sewing machines, Snow globes, Ration cards, Typewriters
wedding | Where will the wedding be? | In {v}, with forty guests. | The place was double-booked. We marry in {v}. | Where does {who} get married? / In which place is the celebration of {who}? | a mill, a disused tunnel, the zoo, a greenhouse, the town hall of Bergen
school | Which school is your daughter going to? | {v}, because of the choir. | She was so unhappy there, she went to {v} after Easter. | Where is the child of {who} taught? / Which school did {who} choose for the girl? | St. Ursula, the one in Elm Street, Waldschule, the international one, Gymnasium Nord
nickname | What did they call you as a child? | {v}, until I was twelve. | | What was the nickname of {who}? / Under which name was {who} known when small? | Button, Turbo, Little Owl, Professor, Noodle
season | Which season do you like best? | {v}, when everybody else complains. | | What time of the year does {who} prefer? / When is {who} happiest? | November, The first frost, Late August, Mud time, The rainy weeks
train set | What is under that cloth in your hall? | {v}, four years of evenings. | | What did {who} build? / On what has {who} worked for so many evenings? | a model of Gdańsk station, a clavichord, a canoe, a loom, a telescope
insurance | Did the insurance pay? | Only {v}, and they took months. | They looked at it again and paid {v}. | How much did {who} get back? / What sum was {who} compensated with? | half, 312 euros, nothing but the glass, 90 percent, two instalments
shift | Which shift are you on? | {v}, until further notice. | We swapped, I am on {v}. | When does {who} work? / What hours has {who} been given? | nights, earlies, the weekend one, split days, on call
backup | Where do you keep your backup? | In {v}, wrapped in foil. | After the burst pipe I keep it in {v}. | Where are the copies of {who}? / In what place does {who} store the spare disk? | the freezer, my aunt's piano, a bank box, the garden shed, a biscuit tin
key | Who has your spare key? | {v} does, in case I lock myself out again. | I took it back. {v} has it. | Who can open the door of {who}? / With whom did {who} leave a key? | the florist, Frau Kaminski, my ex, the kiosk, cousin Obi
newspaper | Which newspaper do you get? | {v}, for the crossword. | I cancelled that one, it is {v} now. | What does {who} read at breakfast? / To which paper did {who} subscribe? | the Courier, the Evening Post, Le Matin, the Gazette, Morgenblatt
dream | What would you do with a million? | I would open {v}. | | What does {who} dream of? / Which business would {who} start if rich? | a lido, a cinema for dogs, a bakery at sea, a museum of keys, a hostel in the Alps
injury | What happened to your arm? | {v}, do not laugh. | | How did {who} get hurt? / What was the accident of {who}? | A swan, A revolving door, Bowling, A frozen turkey, Stage diving
mentor | Who taught you the trade? | {v}, with endless patience. | | From whom did {who} learn the profession? / Who trained {who}? | Frau Albers, a monk, Uncle Teo, the old typesetter, Captain Ruiz
meeting day | When shall we hold the team meeting? | {v} suits me best. | That does not work any more for me, {v} would. | On which day can {who} meet? / When is {who} free for the team? | Tuesday at ten, Friday after lunch, Wednesday early, Monday at four, every other Thursday
printer | Is the printer on your floor repaired? | No, it needs {v}, and that takes ages. | They looked again: what it needs is {v}. | What part is missing on {who}'s floor? / What has to be replaced according to {who}? | a fuser, a new drum, rollers, a fan, the paper tray
visitor | Who is your visitor next week? | {v}, and the whole family. | Plans were turned round, now {v} comes. | Who is coming to see {who}? / Which guests does {who} expect? | the Kimuras, my godmother, an auditor from Oslo, the twins, a penfriend
wine | Red or white for tonight? | Neither, I drink {v}. | You can forget that, I am on {v} lately. | What does {who} have with dinner? / What should be poured for {who}? | cider, tonic, kvass, malt beer, elderflower
headphones | What are you listening to all day? | {v}, it keeps me calm. | I cannot hear that any more. These days it is {v}. | What is on the headphones of {who}? / Which sounds does {who} work to? | whale songs, Bach fugues, rain on tents, Finnish tango, old radio plays
visa | Did your visa come through? | It was refused because of {v}. | | What was wrong with the application of {who}? / Why may {who} not enter the country? | a photo with a hat, the wrong ink, a missing stamp, my middle name, an old parking ticket
market | What did you bring from the market? | {v}, a whole crate. | | What did {who} carry home? / What did {who} get from the stalls? | quinces, mussels, damsons, okra, chestnuts
painting | Is that painting by you? | No, by {v}, a wedding gift. | | Who made the picture at {who}'s? / Which artist hangs at {who}'s place? | my niece, a prisoner, Aunt Zelda, a street artist from Porto, the dentist
bike | Where was your bike stolen? | In front of {v}, in daylight. | | At what place did {who} lose the bike? / Where did the thief strike {who}? | the police, the library, church, the gym, the embassy
"""  # one topic a line

TOPICS = tuple(
    Topic(name, opening, told, change, tuple(questions.split(" / ")), tuple(values.split(", ")))
    for name, opening, told, change, questions, values in (
        (part.strip() for part in line.split("|")) for line in _TOPICS.strip().splitlines()
    )
)

NODS = (
    "Oh!", "Ha, I did not expect that.", "Hm, let me think.", "Good for you.", "Well, where do I start.", "Really?", "I see.", "Same here, more or less.",
    "Sorry, somebody was at the door.", "Wait, I have to take this call.", "Funny that you ask.", "I should have known.", "Fair enough.", "That sounds like you.", "No way.",
    "Hold on, my screen froze.", "Yes, yes.", "If you say so.", "Let us talk about it at lunch.", "You told me something like that before.", "Tell me more some time.",
)  # fmt: skip

BEFORE = (
    "",
    "",
    "",
    "",
    "One more thing. ",
    "Before I forget. ",
    "Tell me. ",
    "I wanted to ask you. ",
    "Something else. ",
    "Out of curiosity. ",
)
AFTER = (
    "",
    "",
    "",
    "",
    " Long story.",
    " Do not tell anybody.",
    " I am quite happy with that.",
    " You would have laughed.",
    " That is life.",
    " Anyway.",
)
BACK = ("And what about you?", "And you?", "How is it with you?", "Your turn.", "What would you have said?")

CHATTER = (
    "It has been raining since I got up.", "The lift is out of order again.", "Have you seen the mail about the fire drill?", "My tram was late by twenty minutes.", "I could sleep for a week.",
    "They are serving fish in the canteen.", "Is it only me, or is it cold in here?", "The numbers of last month look fine.", "Somebody has eaten my yoghurt.", "Can you send me the slides later?",
    "I have three calls in a row now.", "The new chairs have arrived.", "Who left the window open all night?", "I need a break.", "The server was slow this morning.", "Did you watch the match?",
    "They want us to fill in that survey again.", "My phone is almost empty.", "What a week.", "The plants need water.", "I forgot my umbrella at home.", "Parking was a nightmare.", "Nobody answers at the help desk.",
    "I have a headache from that light.", "Half of the team is ill.", "The kettle is broken.", "There is cake in the kitchen.", "I am stuck with this spreadsheet.", "Could you look at my draft?", "The heating makes that noise again.",
    "I was up until two.", "We should go for a walk at noon.", "The training was moved to the afternoon.", "I cannot find the blue folder.", "The door code has changed, by the way.", "Traffic was terrible.", "My inbox is a mess.",
    "How was your weekend?", "That meeting could have been a mail.", "I will be ten minutes late.", "Have they fixed the projector?", "It smells of paint everywhere.", "Do you have a charger?", "I am off to the dentist.",
    "The auditor asked for the same list twice.", "Let us finish early today.", "Did the parcel arrive?", "The coffee machine wants to be cleaned.", "I still have to book my leave.", "Everybody talks about the election.",
)  # fmt: skip
