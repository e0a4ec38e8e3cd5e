"""Pairs of prompts by hand: REVERSALS must never share an answer, PARAPHRASES should, as far as the guard can tell.

They were written before the guard was first run on them, but for the last seven reversals. One of them got through
then: few and a few.
"""

from __future__ import annotations


def _pairs(text: str) -> list[tuple[str, str]]:
    found = [tuple(part.strip() for part in line.split(" | ")) for line in text.strip().splitlines()]
    assert all(len(pair) == 2 for pair in found), found
    return [(pair[0], pair[1]) for pair in found]


REVERSALS = _pairs(
    """
Will the Fed cut rates in March? | Will the Fed not cut rates in March?
The Fed will cut rates. | The Fed won't cut rates.
Is the merger approved? | Isn't the merger approved?
Is the merger approved? | Is the merger not approved?
Does the drug work? | Doesn't the drug work?
Has the bill passed? | Hasn't the bill passed?
Can the company repay its debt? | Can't the company repay its debt?
Can the company repay its debt? | Can the company not repay its debt?
Could the deal close? | Couldn't the deal close?
Will the deal close with approval? | Will the deal close without approval?
Will the bill pass the Senate? | Will the bill fail to pass the Senate?
AAPL manages to beat estimates | AAPL fails to beat estimates
Is there any evidence of fraud? | Is there no evidence of fraud?
Somebody will resign | Nobody will resign
He always hedges his book | He never hedges his book
Neither side will sign | Either side will sign
Will it rain tomorrow? | Will it hardly rain tomorrow?
All banks passed the test | Not all banks passed the test
All banks passed the test | All banks but one passed the test
Sell everything | Sell everything except AAPL
Do buy AAPL | Don't buy AAPL
No, buy AAPL | No buy AAPL
Don't, stop trading | Don't stop trading
It is likely that OPEC cuts output | It is unlikely that OPEC cuts output
Is this legal? | Is this illegal?
Is the account active? | Is the account inactive?
Is the claim possible? | Is the claim impossible?
Is the drug safe? | Is the drug unsafe?
Is the drug safe? | Is the drug dangerous?
Will the court accept the appeal? | Will the court reject the appeal?
Will the Senate pass the bill? | Will the Senate block the bill?
Will the board approve the merger? | Will the board deny the merger?
Is Powell hawkish? | Is Powell dovish?
Is the market bullish? | Is the market bearish?
Is the exchange open? | Is the exchange closed?
Should I buy AAPL? | Should I sell AAPL?
Should I BUY AAPL? | Should I SELL AAPL?
Side: BUY 100 AAPL | Side: SELL 100 AAPL
side: buy, size: 100 | side: sell, size: 100
Go long crude oil | Go short crude oil
Open a long position in TSLA | Open a short position in TSLA
Long EURUSD, short GBPUSD | Short EURUSD, long GBPUSD
Price the 200 call on AAPL | Price the 200 put on AAPL
Sell the March call | Sell the March put
Should I enter the trade? | Should I exit the trade?
Bid or ask: which is 101.2? | Ask or bid: which is 101.2?
What is the bid for AAPL? | What is the ask for AAPL?
Answer yes if rates rise | Answer no if rates rise
Yes means rates rise, no means they fall | No means rates rise, yes means they fall
Will AAPL rise tomorrow? | Will AAPL fall tomorrow?
Will AAPL go up? | Will AAPL go down?
Will inflation increase? | Will inflation decrease?
Will yields climb? | Will yields drop?
Is volume up today? | Is volume down today?
Did margins expand? | Did margins contract?
Did the yen strengthen? | Did the yen weaken?
Are spreads widening? | Are spreads narrowing?
Will AAPL close above 200? | Will AAPL close below 200?
Will AAPL close above 200? | Will AAPL close at 200?
Is CPI over 3%? | Is CPI under 3%?
Is CPI more than 3%? | Is CPI less than 3%?
Is CPI more than 3%? | Is CPI at least 3%?
Is CPI at least 3%? | Is CPI at most 3%?
Is CPI greater than 3%? | Is CPI no greater than 3%?
Is CPI > 3%? | Is CPI < 3%?
Is CPI >= 3%? | Is CPI > 3%?
Is x == 3? | Is x != 3?
Will he resign before Friday? | Will he resign after Friday?
Will he resign by Friday? | Will he resign on Friday?
Will it last until Friday? | Will it start from Friday?
Sell before the earnings call | Sell after the earnings call
Is the first quarter better than the second? | Is the second quarter better than the first?
Which stock is the best of these? | Which stock is the worst of these?
Which stock has the highest yield? | Which stock has the lowest yield?
List the biggest winners | List the biggest losers
What is the maximum drawdown? | What is the minimum drawdown?
Will the Lakers beat the Celtics? | Will the Celtics beat the Lakers?
will the lakers beat the celtics? | will the celtics beat the lakers?
Lakers beat Celtics | Celtics beat Lakers
Will the Lakers win tonight? | Will the Lakers lose tonight?
Will the Lakers beat the Celtics? | Will the Lakers be beaten by the Celtics?
Will Russia attack Ukraine? | Will Ukraine attack Russia?
Will Microsoft acquire Activision? | Will Activision acquire Microsoft?
Did Alice pay Bob? | Did Bob pay Alice?
Convert EUR to USD | Convert USD to EUR
Transfer money from Alice to Bob | Transfer money from Bob to Alice
Transfer money from Alice to Bob | Transfer money to Alice from Bob
If rates rise, will stocks fall? | If stocks fall, will rates rise?
Is gold cheaper than silver? | Is silver cheaper than gold?
Did the strike cause the loss? | Did the loss cause the strike?
Will AAPL rise? | Will MSFT rise?
Will GOOG rise? | Will GOOGL rise?
Will BRK.A rise? | Will BRK.B rise?
Will $AAPL rise? | Will $AMZN rise?
Will BTC-USD rise? | Will BTC-EUR rise?
Will BTC/USDT rise? | Will USDT/BTC rise?
What is the price of ETH? | What is the price of ETC?
Will ES rise? | Will NQ rise?
What does IT cost? | What does it cost?
Is US growth slowing? | Is us growth slowing?
What is the price of Apple? | What is the price of apple?
Buy shares of Target | Buy shares of target
Is Turkey expensive? | Is turkey expensive?
Will Trump win Georgia? | Will Biden win Georgia?
Will Trump win Georgia? | Will Trump win Arizona?
Did North Korea test a missile? | Did South Korea test a missile?
Who leads the Bank of England? | Who leads the Bank of Japan?
Will Smith resign? | Will Jones resign?
What is the GDP of Congo? | What is the GDP of Cuba?
Will AAPL reach 200? | Will AAPL reach 210?
Will AAPL reach 200? | Will AAPL reach 2000?
Will AAPL reach $200? | Will AAPL reach 200%?
Will it cost 1.5 million? | Will it cost 15 million?
Will it cost 5 million dollars? | Will it cost 5 billion dollars?
Will it cost 5k? | Will it cost 5m?
Will it cost five thousand? | Will it cost five hundred?
Will it take twenty days? | Will it take twelve days?
Will it take twenty-one days? | Will it take twenty-two days?
Will it take one hundred days? | Will it take one thousand days?
Buy two and sell three | Buy three and sell two
Is the answer 1,5? | Is the answer 15?
Is the answer 1,000? | Is the answer 1.000?
Is the answer 1, 2? | Is the answer 12?
Is the answer 0.1? | Is the answer 01?
Did it move -5%? | Did it move 5%?
Did it move +5%? | Did it move -5%?
Did it move 5%? | Did it move 5 points?
Did it move 25 bps? | Did it move 25 percent?
Is the ratio 2:1? | Is the ratio 1:2?
Compute 3-2 | Compute 2-3
Compute 2*(3+4) | Compute 2*3+4
Compute 7/2 | Compute 2/7
Compute 5! | Compute 5
Is version 1.2.3 stable? | Is version 1.3.2 stable?
Finish third or better | Finish second or better
Will he win half of them? | Will he win a third of them?
Did it double? | Did it halve?
Buy once | Buy twice
Are there few buyers? | Are there a few buyers?
Is it 5 km away? | Is it 5 miles away?
Is it 5 kg? | Is it 5 g?
Is it 5 mg? | Is it 5 Mg?
Does it cost 5 dollars? | Does it cost 5 euros?
Does it cost $5? | Does it cost \u20ac5?
Is it 20 degrees Celsius? | Is it 20 degrees Fahrenheit?
Did it take 5 minutes? | Did it take 5 hours?
Is the loan 30 days? | Is the loan 30 years?
Will rates fall by 2026-03-01? | Will rates fall by 2026-03-02?
Will rates fall by 2026-03-01? | Will rates fall by 2026-01-03?
Will rates fall by 03/01/2026? | Will rates fall by 01/03/2026?
Will rates fall by March 1, 2026? | Will rates fall by March 1, 2027?
Will rates fall by March 1? | Will rates fall by May 1?
Will rates fall by 1 March? | Will rates fall by 11 March?
Will rates fall by 1st of March? | Will rates fall by 2nd of March?
Will rates fall in March 2026? | Will rates fall in March 2025?
Will rates fall in Q1? | Will rates fall in Q2?
Will rates fall in 2026? | Will rates fall in 2027?
Will rates fall today? | Will rates fall tomorrow?
Did it rain yesterday? | Did it rain today?
Will rates fall on Monday? | Will rates fall on Tuesday?
Will rates fall this week? | Will rates fall next week?
Did rates fall last week? | Did rates fall next week?
Does it open at 9:30? | Does it open at 9:45?
Does it open at 9am? | Does it open at 9pm?
Did the Fed cut rates? | Will the Fed cut rates?
Was he guilty? | Is he guilty?
Should we buy? | Must we buy?
May he leave? | Can he leave?
Do you owe me money? | Do I owe you money?
Is his offer better? | Is her offer better?
What is the probability that it rains? | What is the probability that it snows?
What is the chance of default? | What is the chance of survival?
Who wins? | When does he win?
What did he sell? | Why did he sell?
Sell AAPL. Buy MSFT? | Sell AAPL? Buy MSFT.
Short AAPL. | Short AAPL?
Buy AAPL and sell MSFT | Buy AAPL or sell MSFT
Is it both cheap and good? | Is it neither cheap nor good?
Only buy AAPL | Buy only AAPL if cheap
Import tariffs on China will rise | Export tariffs on China will rise
Is demand inelastic? | Is demand elastic?
Is it pre-market? | Is it post-market?
Is it an overweight rating? | Is it an underweight rating?
Did they upgrade TSLA? | Did they downgrade TSLA?
Is the loan secured? | Is the loan unsecured?
Is the curve inverted? | Is the curve normal?
Will they hire staff? | Will they fire staff?
Is the debt senior? | Is the debt junior?
Did profits beat estimates? | Did profits miss estimates?
Is it a lender or a borrower? | Is it a borrower or a lender?
Rate this from 1 (bad) to 5 (good) | Rate this from 1 (good) to 5 (bad)
Is a fall of 3% good? | Is a rise of 3% good?
The CEO of Ford praised GM | The CEO of GM praised Ford
How likely is it that AAPL won't fall? | How likely is it that AAPL will fall?
How likely is it that he didn't know? | How likely is it that he did know?
How unlikely is it that AAPL will fall? | How likely is it that AAPL will fall?
Tell me whether to hold AAPL | Tell me whether to fold AAPL
Will AAPL rise if rates fall? | Will AAPL rise unless rates fall?
IT is expensive | It is expensive
WHO approved it? | Who approved it?
Buy TEN | Buy ten
Sell class A shares | Sell class shares
What is my chance of winning? | What is your chance of winning?
Is a number of them bad? | Is the number of them bad?
Compute x-y | Compute x y
"""
)

PARAPHRASES = _pairs(
    """
Will the Fed cut rates in March? | Will  the Fed cut rates in March ?
Will the Fed cut rates in March? | will the Fed cut rates in March
Will the Fed cut rates in March? | Please: will the Fed cut rates in March?
Will the Fed cut rates in March? | Can you tell me, will the Fed cut rates in March?
Will the Fed cut rates in March? | Will the Federal Reserve cut rates in March?
Will the Fed cut rates in March? | Is the Fed going to cut rates in March?
What is the probability that AAPL closes above $200? | What's the probability that AAPL closes above $200?
What is the probability that AAPL closes above $200? | What is the likelihood that AAPL closes above 200 dollars?
What is the probability that AAPL closes above $200? | Estimate the probability that AAPL closes above $200.
What is the probability that AAPL closes above $200? | How likely is it that AAPL closes above $200?
What is the probability that AAPL closes above $200? | Could you tell me how likely it is that AAPL closes above $200?
What is the probability that AAPL closes above $200? | Probability that AAPL closes above USD 200?
What is the probability that AAPL closes above $200? | What are the chances that AAPL closes above $200?
What is the probability that AAPL closes above $200? | Give me the probability that AAPL closes above $200.00
What is the probability that AAPL closes above $200? | What are the odds of AAPL closing above $200?
Will CPI be above 3%? | Will CPI be above 3 percent?
Will CPI be above 3%? | Will CPI be more than 3 per cent?
Will CPI be above 3%? | Will CPI be higher than three percent?
Will CPI be above 3%? | Will CPI exceed 3%?
Will CPI be at least 3%? | Will CPI be no less than 3.0%?
Will the Fed cut by 25 basis points? | Will the Fed cut by 25bps?
Will the Fed cut by 25 basis points? | Will the Fed cut by twenty-five basis points?
Will rates fall by March 1, 2026? | Will rates fall by 2026-03-01?
Will rates fall by March 1, 2026? | Will rates fall by 1 March 2026?
Will rates fall by March 1, 2026? | Will rates fall by the 1st of March 2026?
Will rates fall by March 1, 2026? | Will rates fall by Mar 1st, 2026?
Will rates fall by March 1, 2026? | By March 1, 2026, will rates fall?
Won't the deal close? | Will the deal not close?
Isn't it overvalued? | Is it not overvalued?
He can't pay | He cannot pay
He can't pay | He can not pay
It's going to rain tomorrow | It is going to rain tomorrow
It's going to rain tomorrow | It will rain tomorrow
They're bankrupt | They are bankrupt
Did revenue reach 1,000,000 dollars? | Did revenue reach $1000000?
Did revenue reach 1,000,000 dollars? | Did revenue reach one million dollars?
Did revenue reach 1,000,000 dollars? | Did revenue reach $1 million?
Did revenue reach 5 billion? | Did revenue reach 5bn?
Did revenue reach 5k? | Did revenue reach five thousand?
Is it the second time? | Is it the 2nd time?
What does the U.S. import? | What does the US import?
What does the U.S. import? | What does the United States import?
Who won, the Lakers or the Celtics? | Who won, Lakers or Celtics?
Sell AAPL before the close | Sell AAPL prior to the close
Hold the bond until maturity | Hold the bond till maturity
Will oil go up this week? | Will oil rise this week?
Will oil go down this week? | Will oil fall this week?
Will oil go up this week? | Will oil climb this week?
Explain the yield curve | Please explain the yield curve.
Explain the yield curve | Explain to me the yield curve
Summarise the news on TSLA | Summarize the news on TSLA
Summarise the news on TSLA | Give me a summary of the news on TSLA
Is the long-term outlook good? | Is the long term outlook good?
What do analysts say about NVDA? | What are analysts saying about NVDA?
Should I buy AAPL? | Hello, should I buy AAPL?
Should I buy AAPL? | Please tell me whether I should buy AAPL
Is Apple\u2019s margin shrinking? | Is Apple's margin shrinking?
Is Apple's margin shrinking? | Is Apple\u2019s margin shrinking
Tell me the price of gold | Could you tell me the price of gold?
Tell me the price of gold | Please tell me the price of gold
Give me the ticker of Nvidia | Can you give me the ticker of Nvidia?
Rate the risk from 1 to 5 | Please rate the risk from one to five
I want to know whether TSLA will split | Tell me if TSLA will split
Did GDP grow less than 2%? | Did GDP grow by less than 2%?
Did GDP grow less than 2%? | Was GDP growth below 2%?
How many jobs were added in May 2026? | How many jobs were created in May 2026?
"""
)
